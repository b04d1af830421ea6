"""The inbox of a turn: everything that happens to it arrives here, in order, timers included."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from xwe.core.nlp.tools.reply_reader import ReplyReader


class Inbox:
    """Posted items, for the one task that takes them; for one loop.

    An `asyncio.Queue` without what a turn does not need (a bound, several takers, joining). Every
    piece of text passes through here, and this is three times as fast.
    """

    __slots__ = ("_items", "_loop", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[object] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def post(self, item: object) -> None:
        """Add an item; never waits."""
        self._items.append(item)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():  # the taker may have been cancelled
            waiter.set_result(None)

    async def take(self) -> object:
        """Wait for an item and remove the oldest one."""
        while not self._items:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._items.popleft()


TimerKind = Literal["deadline", "coalesced", "grace", "late"]


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer has run out; `reader` is the reply that a "grace" belongs to."""

    kind: TimerKind
    reader: ReplyReader | None = None


class Timers:
    """Timers that post into the inbox; for the loop on which it is made."""

    def __init__(self, post: Callable[[TimerFired], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._post = post
        self._handles: list[asyncio.TimerHandle] = []

    def start(self, after_s: float, kind: TimerKind, reader: ReplyReader | None = None) -> None:
        """Post a `TimerFired` after so many seconds."""
        fired = TimerFired(kind, reader)
        self._handles.append(self._loop.call_later(after_s, self._post, fired))

    def cancel(self) -> None:
        """Stop all timers."""
        for handle in self._handles:
            handle.cancel()
