"""How an answer is written to one client: the `StreamWriter`, and the one that is a thread.

The writer here is the WSGI server's thread, which iterates over the response; the one in
`loop_writer.py` is the resident loop. An answer does not know who writes it.
"""

import errno
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from xwe.errors import StreamGapError
from xwe.streams.answer import AnswerReader
from xwe.web.streaming.client_disconnect import ClientDisconnectedError, has_disconnected
from xwe.web.streaming.formats import Format
from xwe.web.streaming.reader_slots import ReaderSlot


@dataclass(frozen=True, slots=True)
class WritingTimes:
    """When a stream is written.

    Attributes:
        flush_s: how long events are gathered before they go out together; the first never waits.
        heartbeat_s: a heartbeat goes out after so long without an event, so that proxies keep the
            connection.
        check_s: how often, without events, a thread checks that the client is still there; the
            first write to one that has gone may succeed.
    """

    flush_s: float = 0.03
    heartbeat_s: float = 15.0
    check_s: float = 1.0


@dataclass(frozen=True, slots=True)
class ClientReading:
    """One client's reading of one answer.

    Attributes:
        reader: its position in the answer.
        slot: its place among all readers.
        format: what it gets.
        times: when it is written to.
        connection: the client's, where the server shows it.
        written: what has been encoded already, to go out first.
    """

    reader: AnswerReader
    slot: ReaderSlot
    format: Format
    times: WritingTimes
    connection: socket.socket | None = None
    written: bytes = b""

    def close(self) -> None:
        """Leave the answer and give the slot back. Idempotent."""
        self.reader.close()
        self.slot.leave()

    def wait_for_events(self, timeout_s: float) -> list[bytes]:
        """Block until there are events, and take them all; [] at the end.

        Raises:
            TimeoutError: there were none within `timeout_s` seconds.
            ClientDisconnectedError: the client has gone meanwhile.
            StreamGapError: the reader was too slow.
        """
        ends_at = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, ends_at - time.monotonic())
            try:
                return self.reader.drain(min(left_s, self.times.check_s))
            except TimeoutError:
                if self.connection is not None and has_disconnected(self.connection):
                    raise ClientDisconnectedError from None
                if left_s <= self.times.check_s:
                    raise


class StreamWriter(Protocol):
    """Writes one client's reading, from its position in the answer to the end."""

    def __iter__(self) -> Iterator[bytes]:
        """The body, for the WSGI server."""

    def close(self) -> None:
        """The client has gone, or the body is whole."""


class ThreadWriter:
    """A `StreamWriter` that is the request's own thread: it holds one for each open stream.

    Not a generator: the clean-up of one that was never started would not run, and a client can be
    gone before the first chunk is asked for.
    """

    def __init__(self, reading: ClientReading) -> None:
        self._reading = reading
        self._next = reading.written
        self._has_written = False
        self._has_ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not (chunk := self._next):
            if self._has_ended:
                self._end()
            self._next = self._read()
        self._next = b""
        self._has_written = True
        return chunk

    def _end(self) -> None:
        if self._reading.format.is_cut:
            # Servers close the connection then, without the body's proper end or a traceback.
            raise ConnectionResetError(errno.ECONNRESET, "the answer was cut off")
        raise StopIteration

    def _read(self) -> bytes:
        reading = self._reading
        if self._has_written:
            time.sleep(reading.times.flush_s)  # what comes meanwhile goes out in one write
        first = reading.reader.number + 1
        try:
            events = reading.wait_for_events(reading.times.heartbeat_s)
        except TimeoutError:
            return reading.format.heartbeat
        except StreamGapError as gap:  # too slow: what it missed cannot be made up for
            self._has_ended = True
            return reading.format.gap(first, gap)
        self._has_ended = reading.reader.has_ended
        return reading.format.encode(first, events, is_last=self._has_ended)

    def close(self) -> None:
        """Leave the answer and give the slot back. Idempotent."""
        self._reading.close()
