"""Incremental decoder of server-sent events (WHATWG HTML, section 9.2.6)."""

from xwe.errors import StreamInterruptedError

MAX_LINE_BYTES = 1 << 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SSEDecoder:
    """Splits a byte stream into the data of its events, however the bytes were chunked.

    Comments and the fields `event`, `id` and `retry` are dropped, since the chat protocol uses
    only `data`. So is an event that the end of the stream cuts off.

    Args:
        max_line_bytes: the longest line that is accepted; it also bounds the memory held.
    """

    __slots__ = ("_after_cr", "_at_start", "_between_events", "_data", "_held", "_line", "_max")

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._line: list[bytes] = []  # pieces of an unfinished line
        self._held = 0  # their total length
        self._data: list[bytes] = []  # data lines of an unfinished event
        self._at_start = True
        self._after_cr = False
        self._between_events = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that this chunk completes, in order.

        Raises:
            StreamInterruptedError: a line is too long (reason "too_large").
        """
        # The fast path: nearly every chunk of a real stream is whole events of one line each.
        if self._between_events and chunk[:6] == b"data: " and chunk[-2:] == b"\n\n":
            events = chunk[6:-2].split(b"\n\ndata: ")
            if (
                chunk.count(b"\n") == 2 * len(events)
                and b"\r" not in chunk
                and len(chunk) <= self._max
            ):
                return events
        return self._feed_lines(chunk)

    def _feed_lines(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        if b"\n" not in chunk and b"\r" not in chunk:
            # Kept in pieces: joining at every chunk would take quadratic time.
            self._hold(chunk)
            return []
        if self._line:
            chunk = b"".join((*self._line, chunk))
            self._line.clear()
            self._held = 0
        lines = chunk.splitlines()
        if chunk[-1:] == b"\r":
            self._after_cr = True
        elif chunk[-1:] != b"\n":
            self._hold(lines.pop())
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        events = self._take_lines(lines)
        self._between_events = not (self._line or self._data or self._after_cr)
        return events

    def _hold(self, piece: bytes) -> None:
        self._between_events = False
        self._line.append(piece)
        self._held += len(piece)
        if self._held > self._max:
            raise self._too_long()

    def _take_lines(self, lines: list[bytes]) -> list[bytes]:
        events = []
        data = self._data
        for line in lines:
            if len(line) > self._max:
                raise self._too_long()
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            elif line[:5] == b"data:":
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
        return events

    def _too_long(self) -> StreamInterruptedError:
        return StreamInterruptedError(
            f"The provider's stream has a line of more than {self._max} bytes.",
            reason="too_large",
        )
