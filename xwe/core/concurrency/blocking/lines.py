"""Standing in line: what the primitives for threads and coroutines have in common.

The state is guarded by a lock that is never held while waiting, so nothing here needs a turn of
the event loop: a loop that is busy or blocked keeps no thread from going on.
"""

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from xwe.core.concurrency.blocking.deadlines import limit_of
from xwe.core.concurrency.loop_thread import get_loop_thread

R = TypeVar("R")


class TimedOutError(Exception):
    """A call's own timeout passed; each method says it in its own way."""


class Waiter(Generic[R]):
    """One place in a line: what to do when it is its turn, and whom to wake then."""

    __slots__ = ("act", "is_served", "result", "wake")

    result: R

    def __init__(self, act: Callable[[], R], wake: Callable[[], object]) -> None:
        self.act = act
        self.wake = wake
        self.is_served = False


class Line:
    """Those who wait for one condition; every method is called with the guard held."""

    def __init__(self, may_pass: Callable[[], bool]) -> None:
        self._may_pass = may_pass
        self._waiters: OrderedDict[Waiter[Any], None] = OrderedDict()

    def join(self, waiter: Waiter[Any]) -> None:
        """Stand at the end."""
        self._waiters[waiter] = None

    def leave(self, waiter: Waiter[Any]) -> None:
        """Go away, from wherever in the line."""
        self._waiters.pop(waiter, None)

    def serve(self) -> bool:
        """Let act who may, on their behalf and in order; whether there was anybody."""
        has_served = False
        while self._waiters and self._may_pass():
            waiter, _ = self._waiters.popitem(last=False)
            waiter.result = waiter.act()
            waiter.is_served = has_served = True
            waiter.wake()
        return has_served


class Shared(ABC):
    """State that threads and coroutines wait for.

    What a waiter wants is done for it, under the guard, by whoever makes it possible. So a waiter
    that gives up finds out for certain whether it was served, and a turn that came too late for
    it is undone: nothing is ever taken by somebody who has gone.
    """

    def __init__(self) -> None:
        # Re-entrant, since the garbage collector may end a waiting coroutine at any allocation,
        # also at one made under this very lock.
        self._guard = threading.RLock()

    @abstractmethod
    def _serve(self) -> None:
        """Serve all lines after a change; with the guard held."""

    def _join(self, line: Line, waiter: Waiter[R]) -> None:
        with self._guard:
            line.join(waiter)
            self._serve()

    def _leave(self, line: Line, waiter: Waiter[R], undo: Callable[[R], object] | None) -> bool:
        """Wait no longer; False when it was served by then (and undone, where it can be)."""
        with self._guard:
            if not waiter.is_served:
                line.leave(waiter)
                return True
            if undo is not None:
                undo(waiter.result)
                self._serve()
            return False

    def _wait(
        self,
        line: Line,
        act: Callable[[], R],
        timeout: float | None,
        undo: Callable[[R], object] | None = None,
    ) -> R:
        """Block this thread until `act` has been done.

        Raises:
            TimedOutError: not within `timeout` seconds.
        """
        get_loop_thread().refuse_own_thread()
        limit = limit_of(timeout)
        served = threading.Lock()
        served.acquire()
        waiter = Waiter(act, served.release)
        self._join(line, waiter)
        try:
            is_served = served.acquire(timeout=-1 if limit.seconds is None else limit.seconds)
        except BaseException:  # Ctrl-C in the waiting thread
            self._leave(line, waiter, undo)
            raise
        if is_served or not self._leave(line, waiter, undo=None):
            return waiter.result
        if limit.is_surrounding:
            raise limit.error()
        raise TimedOutError

    async def _wait_async(
        self, line: Line, act: Callable[[], R], undo: Callable[[R], object] | None = None
    ) -> R:
        """Suspend this coroutine until `act` has been done."""
        loop = asyncio.get_running_loop()
        served = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and its waiter with it
                loop.call_soon_threadsafe(served.set)

        waiter = Waiter(act, wake)
        self._join(line, waiter)
        if not waiter.is_served:
            try:
                await served.wait()
            except BaseException:
                self._leave(line, waiter, undo)
                raise
        return waiter.result

    def _act_now(self, line: Line, act: Callable[[], R]) -> R:
        """Do `act` at once or raise TimedOutError; from anywhere, the loop's thread included."""
        waiter = Waiter(act, lambda: None)
        with self._guard:
            self._join(line, waiter)
            if self._leave(line, waiter, undo=None):
                raise TimedOutError
        return waiter.result
