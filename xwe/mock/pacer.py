"""Sends the pieces of all streams when they are due, from one timer.

A task that sleeps and writes for each piece costs twice as much: with a thousand streams the model
server would take CPU from what is measured against it.
"""

import asyncio
import heapq
import itertools
from collections.abc import Sequence
from typing import Final

from aiohttp import web

# The loop's clock ticks in milliseconds: what is due within half a tick is due now.
_SLACK_S: Final = 0.0005


class PacedStream:
    """The rest of one reply."""

    __slots__ = ("due", "next", "pieces", "request", "started", "stopped", "tokens_per_s")

    def __init__(
        self,
        request: web.BaseRequest,
        pieces: Sequence[bytes],
        due: Sequence[int],
        tokens_per_s: float,
        started: float,
    ) -> None:
        self.request, self.pieces, self.due = request, pieces, due
        self.tokens_per_s, self.started = tokens_per_s, started
        self.next = 0
        self.stopped: asyncio.Future[None]

    def due_at(self) -> float:
        """When the next piece is due, on the loop's clock."""
        return self.started + self.due[self.next] / self.tokens_per_s

    def send_due(self, now: float) -> bool:
        """Send what is due, late pieces together; False when the stream pauses or ends."""
        transport, protocol = self.request.transport, self.request.protocol
        if transport is None or transport.is_closing() or protocol.writing_paused:
            return False
        first, end, count = self.next, self.next + 1, len(self.pieces)
        tokens = (now - self.started) * self.tokens_per_s
        while end < count and self.due[end] <= tokens:
            end += 1
        data = self.pieces[first] if end == first + 1 else b"".join(self.pieces[first:end])
        transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.next = end
        return end < count


class Pacer:
    """The pace of all streams of one server, on one event loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, PacedStream]] = []
        self._order = itertools.count()
        self._timer: asyncio.Handle | None = None

    async def send(
        self,
        request: web.BaseRequest,
        pieces: Sequence[bytes],
        due: Sequence[int],
        tokens_per_s: float,
    ) -> None:
        """Send pieces of a chunked body, each when its token is due, counted from now.

        A late piece does not delay the ones after it. A slow client is waited for.

        Raises:
            ConnectionResetError: the client has left.
        """
        loop = asyncio.get_running_loop()
        stream = PacedStream(request, pieces, due, tokens_per_s, loop.time())
        while stream.next < len(pieces):
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("The client has left.")
            await request.writer.drain()
            stream.stopped = loop.create_future()
            self.add(stream, loop)
            await stream.stopped

    def add(self, stream: PacedStream, loop: asyncio.AbstractEventLoop) -> None:
        """Send a stream's pieces from now on; its `stopped` future ends with its sending."""
        heapq.heappush(self._heap, (stream.due_at(), next(self._order), stream))
        if self._heap[0][2] is stream:  # the timer is set for a later piece, or not at all
            self._tick(loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        heap, now = self._heap, loop.time()
        while heap and heap[0][0] <= now + _SLACK_S:
            stream = heap[0][2]
            if stream.stopped.done():  # its client has left
                heapq.heappop(heap)
            elif stream.send_due(now):
                heapq.heapreplace(heap, (stream.due_at(), next(self._order), stream))
            else:
                heapq.heappop(heap)
                stream.stopped.set_result(None)
        if heap:
            self._timer = loop.call_at(heap[0][0], self._tick, loop)
