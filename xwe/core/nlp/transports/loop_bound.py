"""What belongs to one event loop: its connections die with it."""

import asyncio
import os
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# A pool of connections can only be closed on its own loop. One whose loop is gone, above all in a
# child process after a fork, is kept for ever: collecting it would complain, and reach for sockets
# that are still in the parent's use.
_kept: list[object] = []
_holders: "weakref.WeakSet[LoopBound[Any]]" = weakref.WeakSet()


class LoopBound(Generic[T]):
    """A value that belongs to the first loop it is used on, and is made anew for another one.

    Args:
        make: called on the loop that needs a value.
        first: the value for the first loop, where it takes long to make and needs no loop for it.
    """

    def __init__(self, make: Callable[[], T], first: T | None = None) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._value = first
        _holders.add(self)

    def get(self) -> T:
        """The running loop's value."""
        value, loop = self._value, asyncio.get_running_loop()
        if value is None or self._loop is not loop:
            if value is None or self._loop is not None:
                self.keep()
                value = self._value = self._make()
            self._loop = loop
        return value

    def take(self) -> T | None:
        """The value, if there is one, which is the caller's to close."""
        value, self._value = self._value, None
        return value

    def keep(self) -> None:
        """Never let the present value be collected."""
        if self._value is not None:
            _kept.append(self._value)


def _keep_all() -> None:
    for holder in _holders:
        holder.keep()


os.register_at_fork(after_in_child=_keep_all)
