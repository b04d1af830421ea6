"""A bounded queue between threads that can be closed."""

import queue
import sys
from typing import TypeVar

from xwe.errors import ClosedError

T = TypeVar("T")


class AsyncRequestQueue(queue.Queue[T]):
    """The standard library's thread-safe queue, and `close`: nobody waits for ever on it.

    `put` and `get` take `block` and `timeout` (seconds) and raise `queue.Full` and `queue.Empty`.
    Once the queue is closed, `put` raises ClosedError, and so does `get` after the last item.

    Args:
        max_size: the most items it holds; 0 for no bound.
    """

    def __init__(self, max_size: int = 0) -> None:
        if max_size < 0:
            raise ValueError(f"max_size={max_size}: it must be 0 (no bound) or more")
        super().__init__(max_size)
        self._max_size = max_size
        self._closed = False

    def close(self) -> None:
        """Take no more items and wake all who wait. The items inside stay. Idempotent."""
        with self.mutex:
            self._closed = True
            self.maxsize = sys.maxsize  # so that no `put` waits for room
            self.not_empty.notify_all()
            self.not_full.notify_all()

    def qsize(self) -> int:
        """The number of items."""
        return len(self.queue)

    def empty(self) -> bool:
        """Whether there are no items."""
        return not self.queue

    def full(self) -> bool:
        """Whether it holds `max_size` items; never, without a bound."""
        return 0 < self._max_size <= len(self.queue)

    # The three methods by which queue.Queue can be extended, called with its mutex held.

    def _qsize(self) -> int:
        # A closed queue counts as not empty, so that no `get` waits for an item.
        return len(self.queue) or int(self._closed)

    def _put(self, item: T) -> None:
        if self._closed:
            raise ClosedError("the queue is closed and takes no more items")
        self.queue.append(item)

    def _get(self) -> T:
        if not self.queue:
            raise ClosedError("the queue is closed and empty")
        item: T = self.queue.popleft()
        return item
