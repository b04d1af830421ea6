"""One request and the reply to it on the wire: written whole, paced, dripped or broken off."""

import asyncio
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from aiohttp import web

from xwe.mock.protocol import ErrorReply, encode_error
from xwe.mock.recorder import ReceivedRequest, RequestLog

JSON: Final = "application/json"
# SO_LINGER with no time: closing sends a reset instead of an orderly end.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Exchange:
    """Writes the reply to one request and keeps the log's entry of it.

    Every method that writes raises ConnectionError when the client has left, and the task is
    cancelled the moment it leaves.
    """

    __slots__ = ("_broken_off", "_log", "_received", "_response", "request", "write_bytes")

    def __init__(self, request: web.BaseRequest, log: RequestLog | None) -> None:
        self.request = request
        self.write_bytes: int | None = None
        self._log = log
        self._broken_off = False
        self._received: ReceivedRequest | None = None
        self._response: web.StreamResponse | None = None

    def arrived(self, body: object) -> None:
        """Put the request into the log."""
        if self._log is not None:
            self._received = ReceivedRequest(self.request.path, self.request.headers, body)
            self._log.arrived(self._received)

    def finished(self) -> None:
        """Note the end in the log, just before the last bytes leave.

        A test that has read them can then rely on it.
        """
        if self._log is not None and self._received is not None:
            self._log.finished(self._received)

    def connection_lost(self) -> None:
        """Note in the log that the client left, unless it was the server that went."""
        if self._log is not None and self._received is not None and not self._broken_off:
            self._log.disconnected(self._received)

    async def send(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """Send a whole reply."""
        response = web.Response(
            status=status, body=body, content_type=content_type, headers=headers
        )
        await response.prepare(self.request)
        self.finished()
        await response.write_eof()
        return response

    async def refuse(
        self, refusal: ErrorReply, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """Send an error reply."""
        return await self.send(refusal.status, encode_error(refusal), headers=headers)

    async def begin(self, content_type: str) -> None:
        """Send the head of a 200 reply whose body follows."""
        self._response = web.StreamResponse(
            headers={"Content-Type": content_type, "Cache-Control": "no-cache"}
        )
        await self._response.prepare(self.request)

    async def end(self, last: bytes = b"") -> web.StreamResponse:
        """Send the last part of the body and its end."""
        response = self._begun()
        self.finished()
        if last:
            await self.write(last)
        await response.write_eof()
        return response

    async def write(self, data: bytes) -> None:
        """Send a part of the body, in the asked-for slices."""
        response = self._begun()
        if self.write_bytes is None:
            await response.write(data)
            return
        for start in range(0, len(data), self.write_bytes):
            await response.write(data[start : start + self.write_bytes])
            # A turn of the loop: the writes of one turn may leave in one packet.
            await asyncio.sleep(0)

    async def write_paced(
        self, pieces: Sequence[bytes], due: Sequence[int], tokens_per_s: float | None
    ) -> None:
        """Send each piece by itself, when its token is due."""
        clock = asyncio.get_running_loop().time
        started = clock()
        for piece, tokens in zip(pieces, due, strict=True):
            if tokens_per_s is not None:
                await asyncio.sleep(started + tokens / tokens_per_s - clock())
            await self.write(piece)

    async def drip(self, data: bytes, interval_s: float) -> None:
        """Send one byte every `interval_s`."""
        for byte in data:
            await asyncio.sleep(interval_s)
            await self.write(bytes((byte,)))

    async def hang(self) -> NoReturn:
        """Send nothing more, until the client leaves or the server stops."""
        while True:
            await asyncio.get_running_loop().create_future()

    async def close(self) -> NoReturn:
        """Close the connection in order, wherever the reply is."""
        await self._break_off()

    async def reset(self) -> NoReturn:
        """Reset the connection, after what was written has left."""
        transport = self.request.transport
        if transport is not None:
            sock: socket.socket = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        await self._break_off()

    async def _break_off(self) -> NoReturn:
        self.finished()
        self._broken_off = True
        if self.request.transport is not None:
            self.request.transport.close()
        await self.hang()  # the lost connection cancels this task

    def _begun(self) -> web.StreamResponse:
        if self._response is None:
            raise RuntimeError("begin() comes before the body.")
        return self._response
