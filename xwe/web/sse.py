"""Server-sent events: how a live answer is written to one client.

What writes is a `StreamWriter`: the one here is the WSGI server's thread, which iterates over the
response, the one in `loop_writer.py` the resident loop. A stream does not know who writes it.
"""

import errno
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from xwe.errors import StreamGapError
from xwe.streams import ui_messages
from xwe.streams.live_stream import StreamReader
from xwe.web.stream_places import Place

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}

HEARTBEAT = b": still here\n\n"
_DONE = b"data: " + ui_messages.DONE + b"\n\n"


@dataclass(frozen=True, slots=True)
class WritingTimes:
    """When a stream is written.

    Attributes:
        flush_s: how long events are gathered before they go out together; the first never waits.
        heartbeat_s: a comment goes out after so long without an event, so that proxies keep the
            connection.
        look_s: how often, without events, it is looked whether the client is still there; a write
            to one that has gone may succeed once.
    """

    flush_s: float = 0.03
    heartbeat_s: float = 15.0
    look_s: float = 5.0


class StreamWriter(Protocol):
    """Writes one reader's events to its client, from its place in the stream to the end."""

    def __iter__(self) -> Iterator[bytes]:
        """The body, for the WSGI server."""

    def close(self) -> None:
        """The client has gone, or the body is whole."""


class Encode(Protocol):
    """Makes bytes of a stream's events."""

    def __call__(self, first: int, events: Iterable[bytes], *, is_last: bool) -> bytes:
        """The events as they go over the wire, from the number `first` on."""


class ThreadWriter:
    """A `StreamWriter` that is the request's own thread: it holds one for each open stream.

    Not a generator: the clean-up of one that was never started would not run, and a client can be
    gone before the first chunk is asked for.

    Args:
        reader: its place in the stream; closed by `close`.
        times: when to write.
        place: given back by `close`.
        connection: the client's, where the server shows it.
        encode: makes bytes of the events; `body` unless given.
    """

    def __init__(
        self,
        reader: StreamReader,
        times: WritingTimes,
        place: Place,
        connection: socket.socket | None = None,
        encode: Encode | None = None,
    ) -> None:
        self._reader = reader
        self._encode = body if encode is None else encode
        self._times = times
        self._place: Place | None = place
        self._connection = connection
        self._has_written = False
        self._has_ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._has_ended:
            raise StopIteration
        if self._has_written:
            time.sleep(self._times.flush_s)  # what comes meanwhile goes out in one write
        first = self._reader.number + 1
        try:
            events = self._wait_for_events()
        except TimeoutError:
            return HEARTBEAT
        except StreamGapError as gap:  # too slow: what it missed cannot be made up for
            self._has_ended = True
            return gap_body(first, gap)
        self._has_written = True
        self._has_ended = self._reader.has_ended
        return self._encode(first, events, is_last=self._has_ended)

    def _wait_for_events(self) -> list[bytes]:
        silent_until = time.monotonic() + self._times.heartbeat_s
        while True:
            left_s = silent_until - time.monotonic()
            try:
                return self._reader.drain(max(0.0, min(left_s, self._times.look_s)))
            except TimeoutError:
                if self._connection is not None and _has_left(self._connection):
                    # Servers pass over this one quietly: it is no error of ours.
                    raise ConnectionResetError(errno.ECONNRESET, "the client has gone") from None
                if left_s <= self._times.look_s:
                    raise

    def close(self) -> None:
        """Leave the stream and give the place back. Idempotent."""
        self._reader.close()
        place, self._place = self._place, None
        if place is not None:
            place.leave()


def _has_left(connection: socket.socket) -> bool:
    try:
        # The plain socket's method: under TLS, flags are refused, and the bytes below it tell.
        return not socket.socket.recv(connection, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def body(first: int, events: Iterable[bytes], *, is_last: bool) -> bytes:
    """Events as they go over the wire, numbered from `first`; after the last ones the end."""
    frames = [b"id: %d\ndata: %b\n\n" % pair for pair in enumerate(events, first)]
    if is_last:
        frames.append(_DONE)
    return b"".join(frames)


def gap_body(number: int, gap: StreamGapError) -> bytes:
    """The end for a reader that was too slow."""
    return body(number, (ui_messages.error(gap),), is_last=True)
