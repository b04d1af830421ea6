"""How a thread hands a coroutine to the loop, and how the outcome gets back.

Only the one that removes a call from the set of pending calls may answer it: the end of the
coroutine, a waiter that gives up and the closing of the loop can coincide.
"""

import asyncio
import contextvars
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


class LoopCall(ABC, Generic[T]):
    """A coroutine handed to the loop, and where its outcome goes."""

    __slots__ = ("_abandoned", "_context", "_coro", "_waited_for", "task")

    # Whether a thread is blocked until the outcome.
    blocks: ClassVar[bool] = True

    _waited_for: "set[LoopCall[Any]]"

    def __init__(self, coro: Coroutine[Any, Any, T], context: contextvars.Context) -> None:
        self._coro = coro
        self._context = context
        self.task: asyncio.Task[T] | None = None
        self._abandoned = False

    def start(self, loop: asyncio.AbstractEventLoop, waited_for: "set[LoopCall[Any]]") -> None:
        """Begin, and join the pending calls `waited_for`; on the loop's thread."""
        if self._abandoned:
            self._coro.close()
            return
        try:
            task = loop.create_task(self._coro, context=self._context)
        except Exception as error:  # noqa: BLE001 - not a coroutine; the caller gets the error, whatever it is
            self.fail(error)
            return
        self._waited_for = waited_for
        waited_for.add(self)
        self.task = task
        # A callback, not a wrapping coroutine: it also runs for a task that is cancelled before its
        # first step. In the call's context, since the current one may be another caller's.
        task.add_done_callback(self._end, context=self._context)

    def turn_away(self, error: BaseException) -> None:
        """Answer with `error` instead of beginning; from any thread."""
        self._coro.close()
        if not self._abandoned:
            self.fail(error)

    def abandon(self) -> None:
        """Drop the outcome, since nobody waits; `cancel` must follow on the loop's thread."""
        self._abandoned = True

    def cancel(self) -> None:
        """End the work; on the loop's thread."""
        if self.task is not None:
            self.task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        self.task = None  # an error's traceback leads to this call: break the cycle
        # Retrieved even when nobody waits, or asyncio would log that it never was.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        try:
            self._waited_for.remove(self)
        except KeyError:
            return
        if error is None:
            self.deliver(task.result())
        else:
            self.fail(error)

    @abstractmethod
    def deliver(self, result: T) -> None:
        """Answer; only after removing the call from the set."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """The same for a failure."""


class WaitedCall(LoopCall[T]):
    """A call that a thread is blocked on.

    A bare lock wakes it: a `concurrent.futures.Future` would add a condition and two allocations
    to something that runs once per request.
    """

    __slots__ = ("_done", "_error", "_result")

    _result: T

    def __init__(self, coro: Coroutine[Any, Any, T], context: contextvars.Context) -> None:
        # Not through super(), which would cost more than all of this.
        self._coro = coro
        self._context = context
        self.task = None
        self._abandoned = False
        self._error: BaseException | None = None
        self._done = done = threading.Lock()
        done.acquire()

    def deliver(self, result: T) -> None:
        """Wake the thread with `result`."""
        self._result = result
        self._done.release()

    def fail(self, error: BaseException) -> None:
        """Wake the thread with `error`."""
        self._error = error
        self._done.release()

    def wait(self, timeout_s: float | None) -> bool:
        """Whether the outcome came within `timeout_s` seconds."""
        if timeout_s is None:
            return self._done.acquire()
        return self._done.acquire(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX))

    def outcome(self) -> T:
        """The result, or the coroutine's error raised; once."""
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            self._error = None  # as in `_end`


class SubmittedCall(LoopCall[T]):
    """A call whose outcome goes into a future."""

    __slots__ = ("_future",)

    blocks = False

    def __init__(
        self,
        coro: Coroutine[Any, Any, T],
        context: contextvars.Context,
        future: Future[T],
    ) -> None:
        super().__init__(coro, context)
        self._future: Future[T] | None = future

    def deliver(self, result: T) -> None:
        """Complete the future, unless it has been cancelled."""
        future = self._take_future()
        if future is not None:
            future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Complete the future with `error`; a cancelled coroutine cancels it."""
        if isinstance(error, asyncio.CancelledError) and self._future is not None:
            Future.cancel(self._future)  # not a subclass's own, which may only ask for it
        future = self._take_future()
        if future is not None:
            future.set_exception(error)

    def _take_future(self) -> Future[T] | None:
        # Its callbacks lead to this call: break the cycle.
        future, self._future = self._future, None
        return future if future is not None and future.set_running_or_notify_cancel() else None


def as_coroutine(awaitable: Any) -> Coroutine[Any, Any, Any]:
    """The coroutine itself, or one that awaits `awaitable`.

    Raises:
        TypeError: it cannot be awaited.
    """
    if asyncio.iscoroutine(awaitable):
        return awaitable
    if not inspect.isawaitable(awaitable):
        # Only its type: it may be the answer of a call that was not asynchronous after all.
        raise TypeError(f"a coroutine or another awaitable is needed, not {type(awaitable)}")

    async def wait() -> Any:
        return await awaitable

    return wait()


def loop_wake_up() -> tuple[Callable[[], bool], asyncio.Future[None]]:
    """A function that wakes a coroutine of the running loop, and the future it awaits for that.

    Any thread may call the function, more than once; False means that the loop has ended.
    """
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def complete() -> None:
        if not woken.done():
            woken.set_result(None)

    def wake() -> bool:
        try:
            loop.call_soon_threadsafe(complete)
        except RuntimeError:
            return False
        return True

    return wake, woken
