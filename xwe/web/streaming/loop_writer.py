"""A `StreamWriter` that is the resident loop: an open stream holds no thread.

The request's thread lets the server write the response's head, then hands the client's connection
to the loop and goes on to the next request.
"""

import asyncio
import socket
from collections.abc import Iterator
from wsgiref.types import WSGIEnvironment

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import StreamGapError
from xwe.web.streaming.socket_handoff import HandBack, HandedOff, HandoffSocket
from xwe.web.streaming.thread_writer import ClientReading, StreamWriter, ThreadWriter

_LAST_CHUNK = b"0\r\n\r\n"
_NOTHING = memoryview(b"")


def writer_for(environ: WSGIEnvironment, reading: ClientReading) -> StreamWriter:
    """The loop's writer where the connection can be handed off, else the request's own thread.

    Under TLS, in HTTP/1.0 and HTTP/2 and to a HEAD request, what goes over the wire is not a
    plain chunked body; and the kill switch means that threads do the work.
    """
    connection = reading.connection
    if (
        isinstance(connection, HandoffSocket)
        and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        and environ["REQUEST_METHOD"] != "HEAD"
        and AsyncConfig.is_async_enabled()
    ):
        return LoopWriter(reading, connection)
    return ThreadWriter(reading)


class LoopWriter:
    """Writes one client's reading to its connection, on the resident loop.

    What a slow client does not take is kept, and no more events are taken until it has: so that is
    one write's worth. A client that takes nothing is cut off at the send timeout.

    Args:
        reading: closed at the end.
        connection: the client's, of an HTTP/1.1 request.
    """

    def __init__(self, reading: ClientReading, connection: HandoffSocket) -> None:
        self._reading = reading
        self._reader = reading.reader
        self._times = reading.times
        self._format = reading.format
        self._connection = connection
        self._has_head = False
        self._is_handed_off = False
        self._hand_back: HandBack | None = None
        # From here on, the loop's.
        self._unsent = _NOTHING
        self._is_last = False
        self._waits_for_event = False
        self._flush_at = 0.0
        self._heard_at = 0.0  # when the client last took something
        self._flushing: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None

    # The server's side, in the request's thread.

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._has_head:
            self._has_head = True
            return self._reading.written  # makes the server write the head, also if it is empty
        self._connection.hand_off(self)
        self._is_handed_off = True
        raise HandedOff

    def close(self) -> None:
        """The server is done with the response; one that is handed off goes on. Idempotent."""
        if not self._is_handed_off:
            self._reading.close()

    def begin(self, hand_back: HandBack) -> None:
        """Write the stream; see `Receiver`.

        Raises:
            ClosedError: the loop is closed; so nothing is handed off.
            RuntimeError: it is being closed at this moment.
        """
        self._hand_back = hand_back
        try:
            get_loop_thread().loop.call_soon_threadsafe(self._begin)
        except BaseException:
            self._reading.close()
            raise

    # The loop's side.

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._connection.settimeout(0.0)
            self._loop.add_reader(self._connection.fileno(), self._check_client)
        except (OSError, ValueError):  # closed meanwhile
            self._end(is_whole=False)
            return
        self._heard_at = self._loop.time()
        self._watch(self._times.heartbeat_s)
        self._flush()

    def _check_client(self) -> None:
        """The client has sent something: its end, or a next request, which has to wait."""
        try:
            has_gone = not self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            has_gone = True
        if has_gone:
            self._end(is_whole=False)
        else:  # it would stay readable for ever
            self._loop.remove_reader(self._connection.fileno())

    def _wake(self) -> None:
        """Called by whoever adds events."""
        if get_loop_thread().is_current():
            self._gather()
        else:
            self._loop.call_soon_threadsafe(self._gather)

    def _gather(self) -> None:
        """What comes until the next flush goes out in one write; after a pause, that is at once."""
        self._waits_for_event = False
        if self._hand_back is not None and self._flushing is None:
            self._flushing = self._loop.call_at(self._flush_at, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        if self._unsent:
            return  # continued when the client has taken it
        first = self._reader.number + 1
        try:
            events = self._reader.poll(self._wake)
        except StreamGapError as gap:  # too slow: what it missed cannot be made up for
            self._is_last = True
            self._send(self._format.gap(first, gap))
            return
        if events is None:
            self._waits_for_event = True
        else:
            self._is_last = self._reader.has_ended
            self._send(self._format.encode(first, events, is_last=self._is_last))

    def _send(self, body: bytes) -> None:
        chunk = b"%X\r\n%b\r\n" % (len(body), body) if body else b""
        if self._is_last and not self._format.is_cut:
            chunk += _LAST_CHUNK
        self._unsent = memoryview(chunk)
        if not self._write():
            self._heard_at = self._loop.time()
            self._loop.add_writer(self._connection.fileno(), self._write_on)
            self._watch(self._connection.send_timeout_s)

    def _write_on(self) -> None:
        number = self._connection.fileno()
        if self._write() and number >= 0:
            self._loop.remove_writer(number)

    def _write(self) -> bool:
        """Send what there is; whether nothing of it is left to be sent."""
        if self._unsent:
            try:
                sent = self._connection.send(self._unsent)
            except BlockingIOError:
                return False
            except OSError:
                self._end(is_whole=False)
                return True
            self._heard_at = self._loop.time()
            if sent < len(self._unsent):
                self._unsent = self._unsent[sent:]
                return False
            self._unsent = _NOTHING
            self._flush_at = self._heard_at + self._times.flush_s
        if self._is_last:
            self._end(is_whole=not self._format.is_cut)
            return True
        if not self._waits_for_event:
            self._gather()
        return True

    def _watch(self, within_s: float) -> None:
        """Check in so many seconds whether anything has been taken meanwhile."""
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(within_s, self._break_silence)

    def _break_silence(self) -> None:
        limit_s = self._connection.send_timeout_s if self._unsent else self._times.heartbeat_s
        left_s = self._heard_at + limit_s - self._loop.time()
        if left_s > 0:
            self._watch(left_s)
        elif self._unsent:
            self._end(is_whole=False)
        else:
            self._watch(self._times.heartbeat_s)
            if self._format.heartbeat:
                self._send(self._format.heartbeat)

    def _end(self, *, is_whole: bool) -> None:
        hand_back, self._hand_back = self._hand_back, None
        if hand_back is None:
            return
        for timer in (self._flushing, self._silence):
            if timer is not None:
                timer.cancel()
        number = self._connection.fileno()
        if number >= 0:
            self._loop.remove_reader(number)
            self._loop.remove_writer(number)
        self._reading.close()
        hand_back(is_whole)
