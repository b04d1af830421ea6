"""gunicorn's request, with a reply that says whether the connection closes after it.

It differs from `gunicorn.http.message.Request` (as of gunicorn 27.0) in one case: a view that
refuses a request early leaves its body unread. gunicorn replies "keep-alive", then waits for the
rest of the body, and closes the connection anyway if the body is long or late. RFC 9112, 9.6
requires the head to say so. Here it does, and nothing waits for a body that is not wanted.
"""

import socket
from typing import Any

from gunicorn.http.body import ChunkedReader
from gunicorn.http.message import Request

# gunicorn skips up to this much of a body to reach the next request.
DRAINED_BYTES = 65_536


class ClientRequest(Request):  # type: ignore[misc] # gunicorn carries no types
    """A request of HTTP/1."""

    body: Any
    _is_last: bool | None = None

    def should_close(self) -> bool:
        """Whether the connection closes after this request.

        Decided when the head of the reply is written, and final from then on.
        """
        if self._is_last is None:
            self._is_last = bool(super().should_close()) or self._blocks_next_request()
        return self._is_last

    def _blocks_next_request(self) -> bool:
        """Whether more of the body is left than has arrived and can be skipped."""
        if self.body.failed:
            return True
        reader = self.body.reader
        if isinstance(reader, ChunkedReader):
            return reader.parser is not None  # its length is unknown until its end
        left: int = reader.length
        return left >= DRAINED_BYTES or left > self._arrived(left)

    def _arrived(self, wanted: int) -> int:
        """How many of the next `wanted` bytes have arrived, without waiting for more."""
        if not wanted:
            return 0
        there = len(self.unreader.buf.getvalue())
        if there >= wanted:
            return there
        try:
            peeked = self.unreader.sock.recv(wanted - there, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (OSError, ValueError):  # nothing there; TLS sockets cannot peek
            return there
        return there + len(peeked)
