"""One request and its reply on the wire: sent whole, paced, dripped or broken off."""

import asyncio
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from aiohttp import web

from xwe.mock.protocol import ErrorReply, encode_error
from xwe.mock.recorder import ReceivedRequest, RequestLog

JSON: Final = "application/json"
# SO_LINGER with a zero timeout: closing sends a reset.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Exchange:
    """Writes the reply to one request, and updates the request in the log.

    Methods that write raise ConnectionError when the client has left. The task is cancelled as soon
    as it leaves.
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
        """Add the request to the log."""
        if self._log is not None:
            self._received = ReceivedRequest(self.request.path, self.request.headers, body)
            self._log.arrived(self._received)

    def finished(self) -> None:
        """Mark the request as finished, just before the last bytes leave.

        A test that has read the whole reply can rely on it.
        """
        if self._log is not None and self._received is not None:
            self._log.finished(self._received)

    def connection_lost(self) -> None:
        """Mark the request as disconnected, unless the server broke off itself."""
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
        """Send the head of a reply with status 200; the body follows."""
        self._response = web.StreamResponse(
            headers={"Content-Type": content_type, "Cache-Control": "no-cache"}
        )
        await self._response.prepare(self.request)

    async def end(self, last: bytes = b"") -> web.StreamResponse:
        """Send the last part of the body, and end it."""
        response = self._begun()
        self.finished()
        if last:
            await self.write(last)
        await response.write_eof()
        return response

    async def write(self, data: bytes) -> None:
        """Send a part of the body, in slices of `write_bytes`."""
        response = self._begun()
        if self.write_bytes is None:
            await response.write(data)
            return
        for start in range(0, len(data), self.write_bytes):
            await response.write(data[start : start + self.write_bytes])
            # Writes in one turn of the loop may leave in one packet.
            await asyncio.sleep(0)

    async def write_paced(
        self, pieces: Sequence[bytes], due: Sequence[int], tokens_per_s: float | None
    ) -> None:
        """Send each piece on its own, when its token is due."""
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
        """Send nothing more until the client leaves or the server stops."""
        while True:
            await asyncio.get_running_loop().create_future()

    async def close(self) -> NoReturn:
        """Close the connection properly, in the middle of the reply."""
        await self._break_off()

    async def reset(self) -> NoReturn:
        """Reset the connection, once what was written has left."""
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
        await self.hang()  # the closed connection cancels this task

    def _begun(self) -> web.StreamResponse:
        if self._response is None:
            raise RuntimeError("Call begin() before the body.")
        return self._response
