"""Lock, semaphore, event and queue that threads and coroutines share: views on asyncio's own.

Each holds an asyncio object that is only touched on the resident loop. Threads use the plain
methods and `with`; coroutines, on any loop, use `async with` and the methods that end in `_async`.
All wait in asyncio's own order, first come, first served. An object that somebody has waited on
belongs to that loop and cannot be waited on in a forked child.
"""

import asyncio
import queue
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent import futures
from functools import partial
from typing import Any, Generic, Self, TypeVar

from xwe.core.concurrency.blocking import tasks
from xwe.core.concurrency.blocking.deadlines import limit_of
from xwe.core.concurrency.loop_thread import get_loop_thread

T = TypeVar("T")
R = TypeVar("R")


class _TimedOutError(Exception):
    """A call's own timeout has passed; each method reports it in its own way."""


class Semaphore:
    """Held by up to `value` threads and coroutines at a time."""

    def __init__(self, value: int = 1) -> None:
        self._native: asyncio.Semaphore | asyncio.Lock = asyncio.Semaphore(value)

    def acquire(self, timeout: float | None = None) -> bool:
        """Block until it is acquired; False after `timeout` seconds (0: do not wait).

        Raises:
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; use `async with` there.
        """
        try:
            return _wait(self._native.acquire, timeout, self._undo_acquire)
        except _TimedOutError:
            return False

    async def acquire_async(self) -> None:
        """The same for a coroutine; cancel it to give up."""
        await _wait_async(self._native.acquire, self._undo_acquire)

    def release(self) -> None:
        """Let the next one in; from any thread."""
        _on_loop(self._native.release)

    def locked(self) -> bool:
        """Whether acquiring would have to wait."""
        return _on_loop(self._native.locked)

    def _undo_acquire(self, _acquired: object) -> None:
        self._native.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()


class Lock(Semaphore):
    """Held by one thread or coroutine at a time; anyone may release it.

    Releasing a lock that is not held raises RuntimeError.
    """

    def __init__(self) -> None:
        super().__init__()
        self._native = asyncio.Lock()


class Event:
    """A flag to wait for."""

    def __init__(self) -> None:
        self._native = asyncio.Event()

    def set(self) -> None:
        """Set the flag and wake all who wait; from any thread."""
        _on_loop(self._native.set)

    def clear(self) -> None:
        """Clear the flag; from any thread."""
        _on_loop(self._native.clear)

    def is_set(self) -> bool:
        """Whether the flag is set."""
        return self._native.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the flag is set; False after `timeout` seconds.

        Raises:
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; await `wait_async` there.
        """
        try:
            return _wait(self._native.wait, timeout)
        except _TimedOutError:
            return False

    async def wait_async(self) -> None:
        """The same for a coroutine."""
        await _wait_async(self._native.wait)


class Queue(Generic[T]):
    """First in, first out, between threads and coroutines.

    Args:
        maxsize: the most items it holds; 0 for no bound.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._native: _Items[T] = _Items(maxsize)

    def put(self, item: T, timeout: float | None = None) -> None:
        """Add an item; block while the queue is full.

        Raises:
            queue.Full: there was no room within `timeout` seconds (0: do not wait).
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; await `put_async` there.
        """
        try:
            _wait(partial(self._native.put, item), timeout)
        except _TimedOutError:
            raise queue.Full from None

    async def put_async(self, item: T) -> None:
        """The same for a coroutine."""
        await _wait_async(partial(self._native.put, item))

    def put_nowait(self, item: T) -> None:
        """Add an item now, or raise `queue.Full`; from any thread."""
        try:
            _on_loop(self._native.put_nowait, item)
        except asyncio.QueueFull:
            raise queue.Full from None

    def get(self, timeout: float | None = None) -> T:
        """Take the oldest item; block while the queue is empty.

        Raises:
            queue.Empty: no item came within `timeout` seconds (0: do not wait).
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; await `get_async` there.
        """
        try:
            return _wait(self._native.get, timeout, self._native.put_back)
        except _TimedOutError:
            raise queue.Empty from None

    async def get_async(self) -> T:
        """The same for a coroutine; a cancelled one never takes an item with it."""
        return await _wait_async(self._native.get, self._native.put_back)

    def get_nowait(self) -> T:
        """Take the oldest item now, or raise `queue.Empty`; from any thread."""
        try:
            return _on_loop(self._native.get_nowait)
        except asyncio.QueueEmpty:
            raise queue.Empty from None

    def task_done(self) -> None:
        """Report that an item that was taken has been dealt with; from any thread.

        Raises:
            ValueError: it was called more often than items were put in.
        """
        _on_loop(self._native.task_done)

    def join(self, timeout: float | None = None) -> bool:
        """Block until every item has been dealt with; False after `timeout` seconds."""
        try:
            _wait(self._native.join, timeout)
        except _TimedOutError:
            return False
        return True

    async def join_async(self) -> None:
        """The same for a coroutine."""
        await _wait_async(self._native.join)

    def qsize(self) -> int:
        """The number of items."""
        return self._native.qsize()

    def empty(self) -> bool:
        """Whether there are no items."""
        return self._native.empty()

    def full(self) -> bool:
        """Whether it holds `maxsize` items; never, without a bound."""
        return self._native.full()


class _Items(asyncio.Queue[T]):
    """A queue that takes back an item whose getter has given up."""

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - asyncio.Queue's signature
        self._queue: deque[T] = deque()

    def put_back(self, item: T) -> None:
        """Put `item` first again, even if the queue has been filled since."""
        self._queue.appendleft(item)
        self._wakeup_next(self._getters)  # type: ignore[attr-defined]  # as put_nowait does


def _on_loop(func: Callable[..., R], *args: Any) -> R:
    """The result of `func`, called on the resident loop; from any thread."""
    thread = get_loop_thread()
    if thread.is_current():
        return func(*args)

    async def call() -> R:
        return func(*args)

    return thread.run(call())


def _wait(
    waiting: Callable[[], Coroutine[Any, Any, R]],
    timeout: float | None,
    undo: Callable[[R], None] | None = None,
) -> R:
    """Block until a coroutine has ended on the resident loop.

    Args:
        waiting: makes the coroutine.
        timeout: in seconds; the loop decides which came first, the result or the timeout.
        undo: takes a result back, on the loop, when this thread no longer waits for it.

    Raises:
        _TimedOutError: after `timeout`.
    """
    get_loop_thread().refuse_own_thread()
    limit = limit_of(timeout)
    settle_s = tasks.SETTLE_WITHIN_S
    task = tasks.Task(_within(limit.seconds, waiting))
    try:
        # Longer than the loop's own timeout: a loop that is blocked does not keep this thread.
        futures.wait([task], None if limit.seconds is None else limit.seconds + settle_s)
    except BaseException:  # Ctrl-C in the waiting thread
        _give_up(task, undo)
        raise
    if not task.done():
        _give_up(task, undo)
    else:
        try:
            return task.result()
        except TimeoutError:
            pass
    if limit.is_surrounding:
        raise limit.error()
    raise _TimedOutError


async def _within(seconds: float | None, waiting: Callable[[], Coroutine[Any, Any, R]]) -> R:
    async with asyncio.timeout(seconds):
        return await waiting()


async def _wait_async(
    waiting: Callable[[], Coroutine[Any, Any, R]], undo: Callable[[R], None] | None = None
) -> R:
    """The same for a coroutine on any loop."""
    if get_loop_thread().is_current():
        return await waiting()
    task = tasks.Task(waiting())
    try:
        return await task
    except asyncio.CancelledError:
        _give_up(task, undo)
        raise


def _give_up(task: tasks.Task[R], undo: Callable[[R], None] | None) -> None:
    task.cancel()

    def take_back(ended: futures.Future[R]) -> None:
        if undo is not None and not ended.cancelled() and ended.exception() is None:
            _on_loop(undo, ended.result())

    task.add_done_callback(take_back)
