"""Lock, semaphore, event and queue: one object for threads and for coroutines alike.

Threads use the plain methods and `with`; coroutines, of any loop, use `async with` and the methods
that end in `_async`. Everybody stands in one line and is served in the order of arrival.
"""

import queue
from collections import deque
from types import TracebackType
from typing import Generic, Self, TypeVar

from xwe.core.concurrency.blocking.lines import Line, Shared, TimedOutError

T = TypeVar("T")


class Semaphore(Shared):
    """Held by `value` threads and coroutines at a time."""

    def __init__(self, value: int = 1) -> None:
        super().__init__()
        if value < 0:
            raise ValueError(f"value={value}: it must be 0 or more")
        self._value = value
        self._line = Line(lambda: self._value > 0)

    def acquire(self, timeout: float | None = None) -> bool:
        """Block until it is ours; False when it is not within `timeout` seconds (0: at once).

        Raises:
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; use `async with` there.
        """
        try:
            self._wait(self._line, self._take, timeout, undo=self._put_back)
        except TimedOutError:
            return False
        return True

    async def acquire_async(self) -> None:
        """The same for a coroutine; cancelling it gives up."""
        await self._wait_async(self._line, self._take, undo=self._put_back)

    def release(self) -> None:
        """Let one more in; from anywhere."""
        with self._guard:
            self._put_back()
            self._serve()

    def locked(self) -> bool:
        """Whether it could not be acquired at once."""
        return self._value == 0

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _serve(self) -> None:
        self._line.serve()

    def _take(self) -> None:
        self._value -= 1

    def _put_back(self, _taken: None = None) -> None:
        self._value += 1


class Lock(Semaphore):
    """Held by one thread or coroutine at a time; whoever holds it, anybody may release it.

    Releasing one that is not held raises RuntimeError.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def release(self) -> None:
        """Give it to the next in line; from anywhere."""
        with self._guard:
            if not self.locked():
                raise RuntimeError("the lock is not held")
            super().release()


class Event(Shared):
    """A flag to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._line = Line(self.is_set)

    def set(self) -> None:
        """Raise the flag and wake everybody; from anywhere."""
        with self._guard:
            self._is_set = True
            self._serve()

    def clear(self) -> None:
        """Lower the flag; from anywhere."""
        with self._guard:
            self._is_set = False

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the flag is up; False when it is not within `timeout` seconds.

        Raises:
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; await `wait_async` there.
        """
        try:
            self._wait(self._line, lambda: None, timeout)
        except TimedOutError:
            return False
        return True

    async def wait_async(self) -> None:
        """The same for a coroutine."""
        await self._wait_async(self._line, lambda: None)

    def _serve(self) -> None:
        self._line.serve()


class Queue(Shared, Generic[T]):
    """First in, first out, between threads and coroutines.

    Args:
        maxsize: how many items it holds at most; 0 is without a bound.
    """

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__()
        self._maxsize = maxsize
        self._items: deque[T] = deque()
        self._unfinished = 0
        self._putters = Line(lambda: not self.full())
        self._getters = Line(lambda: bool(self._items))
        self._joiners = Line(lambda: self._unfinished == 0)

    def put(self, item: T, timeout: float | None = None) -> None:
        """Add an item, blocking for room.

        Raises:
            queue.Full: there was no room within `timeout` seconds (0: at once).
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; await `put_async` there.
        """
        try:
            self._wait(self._putters, lambda: self._store(item), timeout)
        except TimedOutError:
            raise queue.Full from None

    async def put_async(self, item: T) -> None:
        """The same for a coroutine."""
        await self._wait_async(self._putters, lambda: self._store(item))

    def put_nowait(self, item: T) -> None:
        """Add an item now, or raise `queue.Full`; from anywhere."""
        try:
            self._act_now(self._putters, lambda: self._store(item))
        except TimedOutError:
            raise queue.Full from None

    def get(self, timeout: float | None = None) -> T:
        """Take the oldest item, blocking until there is one.

        Raises:
            queue.Empty: there was none within `timeout` seconds (0: at once).
            DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
            LoopDeadlockError: this is the resident loop's own thread; await `get_async` there.
        """
        try:
            return self._wait(self._getters, self._items.popleft, timeout, self._items.appendleft)
        except TimedOutError:
            raise queue.Empty from None

    async def get_async(self) -> T:
        """The same for a coroutine; an item that comes as it is cancelled goes to the next one."""
        return await self._wait_async(
            self._getters, self._items.popleft, undo=self._items.appendleft
        )

    def get_nowait(self) -> T:
        """Take the oldest item now, or raise `queue.Empty`; from anywhere."""
        try:
            return self._act_now(self._getters, self._items.popleft)
        except TimedOutError:
            raise queue.Empty from None

    def task_done(self) -> None:
        """Say that an item taken earlier has been dealt with.

        Raises:
            ValueError: more often than items were put in.
        """
        with self._guard:
            if self._unfinished == 0:
                raise ValueError("task_done() was called more often than items were put in")
            self._unfinished -= 1
            self._serve()

    def join(self, timeout: float | None = None) -> bool:
        """Block until every item has been dealt with; False when not within `timeout` seconds."""
        try:
            self._wait(self._joiners, lambda: None, timeout)
        except TimedOutError:
            return False
        return True

    async def join_async(self) -> None:
        """The same for a coroutine."""
        await self._wait_async(self._joiners, lambda: None)

    def qsize(self) -> int:
        """How many items it holds."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether it holds nothing."""
        return not self._items

    def full(self) -> bool:
        """Whether it holds `maxsize` items; never, without a bound."""
        return 0 < self._maxsize <= len(self._items)

    def _serve(self) -> None:
        # An item that was taken makes room for one that waits, and the other way round.
        while self._getters.serve() or self._putters.serve():
            pass
        self._joiners.serve()

    def _store(self, item: T) -> None:
        self._items.append(item)
        self._unfinished += 1
