"""A request as gunicorn's worker reads it, whose reply says when it is the connection's last.

What differs from `gunicorn.http.message.Request` (read against gunicorn 27.0): a view that refuses
early leaves the body unread. gunicorn says "keep-alive", then looks for the rest of the body, and
closes after all where it is long, or is not there in time. RFC 9112, 9.6 wants the head to say so:
here it does, and nobody waits for a body that nobody wants.
"""

import socket
from typing import Any

from gunicorn.http.body import ChunkedReader
from gunicorn.http.message import Request

# gunicorn reads on over less than this to reach the next request.
DRAINED_BYTES = 65_536


class ClientRequest(Request):  # type: ignore[misc] # gunicorn carries no types
    """A request of HTTP/1."""

    body: Any
    _is_last: bool | None = None

    def should_close(self) -> bool:
        """Whether the connection ends with this request.

        Asked first when the head of the reply is written; what that says holds.
        """
        if self._is_last is None:
            self._is_last = bool(super().should_close()) or self._keeps_us_from_the_next()
        return self._is_last

    def _keeps_us_from_the_next(self) -> bool:
        """Whether there is more of the body than what has come and can be read over."""
        if self.body.failed:
            return True
        reader = self.body.reader
        if isinstance(reader, ChunkedReader):
            return reader.parser is not None  # its length is known at its end only
        left: int = reader.length
        return left >= DRAINED_BYTES or left > self._arrived(left)

    def _arrived(self, wanted: int) -> int:
        """How many of the `wanted` next bytes are here; does not wait for more."""
        if not wanted:
            return 0
        there = len(self.unreader.buf.getvalue())
        if there >= wanted:
            return there
        try:
            peeked = self.unreader.sock.recv(wanted - there, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (OSError, ValueError):  # nothing there; TLS knows no such look
            return there
        return there + len(peeked)
