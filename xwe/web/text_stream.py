"""A streamed answer as `text/plain`: what a WSGI server iterates over.

Plain text has no place for an error: whatever is written is the model's speech. So an error before
the first piece is a proper status, and one after it ends the body without its end: the connection
is cut in the middle of the chunked body, and every HTTP client reports that as a failed read.
"""

import asyncio
import errno
import logging
from collections.abc import Iterator

from xwe.core.nlp.completion import Delta
from xwe.core.nlp.observation import request_id
from xwe.errors import XweError
from xwe.web.departure import ReaderLeftError

log = logging.getLogger(__name__)


class TextStream(Iterator[bytes]):
    """The text of `deltas` in UTF-8, whole characters in each chunk.

    Not a generator: the body of one that was never started would not run its clean-up, and a
    reader can be gone before the first chunk is asked for.
    """

    def __init__(self, deltas: Iterator[Delta]) -> None:
        self._deltas = deltas
        self._held = ""
        self._first: bytes | None = None

    def fetch_first(self) -> None:
        """Wait for the first chunk, while a failure can still be a status.

        Raises:
            XweError: the model failed before it said anything.
        """
        try:
            self._first = self._next_chunk()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            chunk = self._next_chunk()
        except ReaderLeftError:
            raise
        except (XweError, asyncio.CancelledError) as error:  # the client has told the log already
            raise _cut(error) from error
        except Exception as error:
            log.exception("Request %s: the stream broke", request_id.get())
            raise _cut(error) from error
        if not chunk:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Close the upstream request. Idempotent."""
        close = getattr(self._deltas, "close", None)
        if close is not None:
            close()

    def _next_chunk(self) -> bytes:
        """The next text that is not empty; empty at the end."""
        for delta in self._deltas:
            if delta.text:
                chunk = self._encode(delta.text)
                if chunk:
                    return chunk
        rest, self._held = self._held, ""
        return rest.encode("utf-8", "replace")

    def _encode(self, text: str) -> bytes:
        """UTF-8; half of a surrogate pair is held back until the next piece brings its other."""
        try:
            if not self._held:
                return text.encode()
        except UnicodeEncodeError:
            pass
        text, self._held = self._held + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _cut(cause: BaseException) -> ConnectionResetError:
    # WSGI servers take this one for a reader who left: they close the connection without the
    # last chunk, and do not write a traceback for what has been accounted for already.
    return ConnectionResetError(errno.ECONNRESET, f"the stream was cut by {type(cause).__name__}")
