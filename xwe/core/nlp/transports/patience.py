"""How long an attempt waits: the rule, and its keeper on an event loop."""

import asyncio
import math
from abc import ABC, abstractmethod
from types import TracebackType

from xwe.core.nlp.completion import TimeLimits
from xwe.errors import ProviderTimeoutError

TAIL_S = 1.0
"""How long a stream that has its finish_reason waits for the usage that may follow."""

DRAIN_S = 0.1
"""How long a caller waits for the body's formal end, so that the connection can be used again."""

KEEPALIVE_S = 15.0
"""How long an idle connection is kept: less than servers do. A request that meets a connection
just as the server closes it fails, and nobody knows whether it was read."""


class Patience:
    """When the waiting of one attempt must end. It is told the time, in monotonic seconds.

    Args:
        limits: of the attempt.
        now: its start.
    """

    __slots__ = ("_between_pieces_s", "_deadline", "_first_due", "_limits")

    def __init__(self, limits: TimeLimits, now: float) -> None:
        self._limits = limits
        self._deadline = now + limits.total_s
        self._first_due: float | None = min(now + limits.first_token_s, self._deadline)
        self._between_pieces_s = math.inf

    def headers_came(self) -> None:
        """A whole reply has begun: from here on only the total counts."""
        self._first_due = None

    def bytes_came(self) -> None:
        """A stream has begun: from here on each silence is measured by itself."""
        self._first_due = None
        self._between_pieces_s = self._limits.idle_s

    def finish_came(self) -> None:
        """All has been said; what may still follow is not worth much waiting."""
        self._between_pieces_s = min(self._limits.idle_s, TAIL_S)

    def drain(self) -> None:
        """All has come, but for the body's formal end."""
        self._between_pieces_s = min(self._limits.idle_s, DRAIN_S)

    def due(self, now: float) -> float:
        """When a wait that starts now must end."""
        if self._first_due is not None:
            return self._first_due
        return min(now + self._between_pieces_s, self._deadline)

    def ended(self, now: float) -> tuple[ProviderTimeoutError, str]:
        """Why a wait ended: the error, and the reason as `StreamInterruptedError` names it."""
        limits = self._limits
        if now >= self._deadline:
            return (
                ProviderTimeoutError(
                    f"The provider's reply was not complete after {limits.total_s:.3g} s."
                ),
                "total",
            )
        silence_s = limits.idle_s if self._first_due is None else limits.first_token_s
        return ProviderTimeoutError(f"The provider said nothing for {silence_s:.3g} s."), "idle"


class Watchdog(ABC):
    """Interrupts a wait that outlasts an attempt's patience; how, a subclass says in `bark`.

    A stream is thousands of short waits, and a timer for each would cost as much as the reading.
    So there is one timer, which looks at the clock when it fires and sets itself anew.

    Args:
        patience: of the attempt.
        loop: the running one.
    """

    __slots__ = ("_loop", "_patience", "_since", "_timer")

    def __init__(self, patience: Patience, loop: asyncio.AbstractEventLoop) -> None:
        self._patience = patience
        self._loop = loop
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """A wait begins."""
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._patience.due(self._since), self._look)

    def end(self) -> None:
        """The wait is over."""
        self._since = None

    def stop(self) -> None:
        """No timer until the next wait begins: in the end, and when the patience got shorter."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return  # the reader is busy elsewhere; its next wait sets the timer
        due = self._patience.due(self._since)
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._look)
        else:
            self.bark()

    @abstractmethod
    def bark(self) -> None:
        """Interrupt the wait, if there is one."""


class PatientWait(Watchdog):
    """`asyncio.timeout` with an attempt's patience: TimeoutError when that ends within it.

    It costs less than the standard one, and `bark` ends it before its time.
    """

    __slots__ = ("_cancelling", "_has_barked", "_task")

    def __init__(self, patience: Patience, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(patience, loop)
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._has_barked = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A transport must be awaited in a task.")
        self._task = task
        self._cancelling = task.cancelling()
        self.begin()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        self.stop()
        task, self._task = self._task, None
        if self._has_barked and task is not None:
            self._has_barked = False
            # Whoever else cancelled the task at the same moment is still owed its CancelledError.
            if task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
                raise TimeoutError from exc

    def bark(self) -> None:
        """Cancel the task that waits; `__exit__` makes a TimeoutError of it."""
        if self._task is not None and not self._has_barked:
            self._has_barked = True
            self._task.cancel()
