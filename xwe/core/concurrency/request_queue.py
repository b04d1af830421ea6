"""A bounded queue between threads that can be closed."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from xwe.errors import ClosedError

T = TypeVar("T")


class AsyncRequestQueue(Generic[T]):
    """First in, first out; synchronous, for any number of threads on either side.

    `put` and `get` take `block` and `timeout` (seconds) and raise `queue.Full` and `queue.Empty`
    as the standard library's queue does. What is new is `close`: nobody waits for ever on a
    queue that has no future.

    Args:
        max_size: how many items it holds at most; 0 is without a bound.
    """

    def __init__(self, max_size: int = 0) -> None:
        if max_size < 0:
            raise ValueError(f"max_size={max_size}: it must be 0 (no bound) or more")
        self._max_size = max_size
        self._items: deque[T] = deque()
        self._closed = False
        lock = threading.Lock()
        self._may_get = threading.Condition(lock)
        self._may_put = threading.Condition(lock)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - queue.Queue's signature
        """Add an item, waiting up to `timeout` seconds for room.

        Raises:
            queue.Full: there was no room in time (at once with `block=False`).
            ClosedError: the queue is closed, or was while this waited.
        """
        with self._may_put:
            if not _wait_until(self._may_put, self._has_room, block=block, timeout=timeout):
                raise queue.Full
            if self._closed:
                raise ClosedError("the queue is closed and takes no more items")
            self._items.append(item)
            self._may_get.notify()

    def put_nowait(self, item: T) -> None:
        """Add an item now, or raise `queue.Full` (`ClosedError` once closed)."""
        self.put(item, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> T:  # noqa: FBT001, FBT002 - queue.Queue's signature
        """Take the oldest item, waiting up to `timeout` seconds for one.

        Raises:
            queue.Empty: none came in time (at once with `block=False`).
            ClosedError: the queue is closed and its last item was taken.
        """
        with self._may_get:
            if not _wait_until(self._may_get, self._has_news, block=block, timeout=timeout):
                raise queue.Empty
            if not self._items:
                raise ClosedError("the queue is closed and empty")
            item = self._items.popleft()
            self._may_put.notify()
            return item

    def get_nowait(self) -> T:
        """Take the oldest item now, or raise `queue.Empty` (`ClosedError` once closed)."""
        return self.get(block=False)

    def qsize(self) -> int:
        """How many items it holds."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether it holds nothing."""
        return not self._items

    def full(self) -> bool:
        """Whether it holds `max_size` items; never, without a bound."""
        return 0 < self._max_size <= len(self._items)

    def close(self) -> None:
        """Take no more items. Those inside can still be taken; whoever waits is woken. Idempotent.

        Raises nothing here: a waiting `put` raises `ClosedError`, and so does a `get` once the
        queue is empty.
        """
        with self._may_get:
            self._closed = True
            self._may_get.notify_all()
            self._may_put.notify_all()

    def _has_room(self) -> bool:
        return self._closed or not self.full()

    def _has_news(self) -> bool:
        return self._closed or bool(self._items)


def _wait_until(
    condition: threading.Condition,
    holds: Callable[[], bool],
    *,
    block: bool,
    timeout: float | None,
) -> bool:
    """Whether it holds: now, or within the timeout."""
    if not block:
        return holds()
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout={timeout}: it must be 0 s or more")
    return condition.wait_for(holds, timeout)
