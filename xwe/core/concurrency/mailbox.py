"""A bounded one-way channel into one reader, drained whole at each wake-up.

The pieces of a streamed answer arrive faster than a thread can be woken for each. A reader that
takes everything at once pays for one wake-up, however many pieces there are.

Either end may be a thread or a coroutine on any loop.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from xwe.core.concurrency.handover import loop_wake_up
from xwe.errors import ClosedError

T = TypeVar("T")

# Beyond this the writer waits: the reader is a second or more behind a fast model.
MAX_ITEMS = 256


class Mailbox(Generic[T]):
    """Items from one writer to one reader, in order.

    The writer calls `put`; when that returns False, it waits in `space` before the next one. It
    ends with `close`, passing an error if there was one. The reader calls `drain` or
    `drain_async` until it returns an empty list (closed) or raises the writer's error, once. What
    was put before the end is always delivered first. A reader that stops early calls `leave`.
    """

    def __init__(self, max_items: int = MAX_ITEMS) -> None:
        self._max_items = max_items
        self._guard = threading.Lock()
        self._items: list[T] = []
        self._closed = False
        self._error: BaseException | None = None
        self._wake_reader: Callable[[], object] | None = None
        self._wake_writer: Callable[[], object] | None = None

    def put(self, item: T) -> bool:
        """Add `item`; False when the mailbox is now full.

        Raises:
            ClosedError: either end has closed the mailbox.
        """
        with self._guard:
            if self._closed:
                raise ClosedError("The reader has left.")
            self._items.append(item)
            wake, self._wake_reader = self._wake_reader, None
            has_space = len(self._items) < self._max_items
        if wake is not None:
            wake()
        return has_space

    def close(self, error: BaseException | None = None) -> bool:
        """End the mailbox; the reader gets what is left and then `error`, if any.

        Returns:
            False when it was closed already, in which case nothing changes.
        """
        with self._guard:
            if self._closed:
                return False
            self._closed, self._error = True, error
            wakes = self._take_wakes()
        for wake in wakes:
            wake()
        return True

    def leave(self) -> None:
        """End the mailbox as its reader: drop what is left and tell the writer. Idempotent."""
        with self._guard:
            self._closed, self._error = True, None
            self._items = []
            wakes = self._take_wakes()
        for wake in wakes:
            wake()

    def _take_wakes(self) -> list[Callable[[], object]]:
        wakes = [wake for wake in (self._wake_reader, self._wake_writer) if wake is not None]
        self._wake_reader = self._wake_writer = None
        return wakes

    def _take(self, wake: Callable[[], object]) -> list[T] | None:
        """The items there are, or None after leaving `wake` for the writer to call."""
        with self._guard:
            items = self._items
            if not items and not self._closed:
                self._wake_reader = wake
                return None
            self._items = []
            wake_writer, self._wake_writer = self._wake_writer, None
            error = None
            if not items:
                error, self._error = self._error, None
        if wake_writer is not None:
            wake_writer()
        if error is None:
            return items
        try:
            raise error
        finally:
            del error  # its traceback holds this frame: break the cycle

    def drain(self, timeout_s: float | None = None) -> list[T]:
        """Block for at least one item and take all there are; [] at the end.

        Raises:
            TimeoutError: nothing came within `timeout_s` seconds.
        """
        ready = threading.Lock()
        ready.acquire()
        items = self._take(ready.release)
        while items is None:
            if not ready.acquire(timeout=-1 if timeout_s is None else timeout_s):
                self._forget_reader()
                raise TimeoutError(f"Nothing came within {timeout_s:g} s.")
            items = self._take(ready.release)
        return items

    async def drain_async(self) -> list[T]:
        """The same for a coroutine on any loop."""
        while True:
            wake, woken = loop_wake_up()
            items = self._take(wake)
            if items is not None:
                return items
            try:
                await woken
            except BaseException:
                self._forget_reader()
                raise

    def _forget_reader(self) -> None:
        with self._guard:
            self._wake_reader = None

    async def space(self) -> None:
        """Wait until the reader has drained a full mailbox, or it is closed."""
        wake, woken = loop_wake_up()
        with self._guard:
            if self._closed or len(self._items) < self._max_items:
                return
            self._wake_writer = wake
        await woken

    def space_blocking(self) -> None:
        """The same for a writer in a thread."""
        ready = threading.Lock()
        ready.acquire()
        with self._guard:
            if self._closed or len(self._items) < self._max_items:
                return
            self._wake_writer = ready.release
        ready.acquire()
