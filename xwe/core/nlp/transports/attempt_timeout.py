"""How long an attempt may wait: the rule, and the timer that keeps it on an event loop."""

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


class AttemptTimeout:
    """When the waits of one attempt must end. All times are given, in monotonic seconds.

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
        """A whole reply has begun: from now on only the total counts."""
        self._first_due = None

    def bytes_came(self) -> None:
        """A stream has begun: from now on each silence is measured by itself."""
        self._first_due = None
        self._between_pieces_s = self._limits.idle_s

    def finish_came(self) -> None:
        """The finish_reason came; what may follow is not worth a long wait."""
        self._between_pieces_s = min(self._limits.idle_s, TAIL_S)

    def drain(self) -> None:
        """Everything has come but the body's formal end."""
        self._between_pieces_s = min(self._limits.idle_s, DRAIN_S)

    def due(self, now: float) -> float:
        """The end of a wait that starts now."""
        if self._first_due is not None:
            return self._first_due
        return min(now + self._between_pieces_s, self._deadline)

    def ended(self, now: float) -> tuple[ProviderTimeoutError, str]:
        """Why a wait timed out: the error, and the reason for a `StreamInterruptedError`."""
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


class AttemptTimer(ABC):
    """Interrupts a wait that exceeds an attempt's timeout, by a subclass's `on_timeout`.

    A stream is thousands of short waits, and a timer for each would cost as much as the reading.
    So there is one timer, which checks the clock when it fires and sets itself again.

    Args:
        timeout: of the attempt.
        loop: the running one.
    """

    __slots__ = ("_loop", "_since", "_timeout", "_timer")

    def __init__(self, timeout: AttemptTimeout, loop: asyncio.AbstractEventLoop) -> None:
        self._timeout = timeout
        self._loop = loop
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """A wait begins."""
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._timeout.due(self._since), self._check)

    def end(self) -> None:
        """The wait is over."""
        self._since = None

    def stop(self) -> None:
        """Drop the timer until the next wait: at the end, or when the timeout got shorter."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._since is None:
            return  # nobody waits; the next wait sets the timer
        due = self._timeout.due(self._since)
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._check)
        else:
            self.on_timeout()

    @abstractmethod
    def on_timeout(self) -> None:
        """Interrupt the wait, if there is one."""


class TimedWait(AttemptTimer):
    """As `asyncio.timeout`, for an attempt: TimeoutError when its timeout passes inside the block.

    It costs less than the standard one, and calling `on_timeout` ends it early.
    """

    __slots__ = ("_cancelling", "_has_timed_out", "_task")

    def __init__(self, timeout: AttemptTimeout, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(timeout, loop)
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._has_timed_out = False

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
        if self._has_timed_out and task is not None:
            self._has_timed_out = False
            # If something else cancelled the task too, its CancelledError must get through.
            if task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
                raise TimeoutError from exc

    def on_timeout(self) -> None:
        """Cancel the waiting task; `__exit__` turns that into a TimeoutError."""
        if self._task is not None and not self._has_timed_out:
            self._has_timed_out = True
            self._task.cancel()
