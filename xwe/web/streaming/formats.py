"""What an answer's events look like on the wire, for three kinds of readers.

| format | for |
| --- | --- |
| `EventFormat` | the UI message stream and everything that takes its events as they are |
| `PlainEventFormat` | front ends that read the `data:` lines of server-sent events as text |
| `TextFormat` | whoever wants the text alone, as `text/plain` |
"""

from collections.abc import Iterable
from typing import Protocol

import orjson

from xwe.errors import StreamGapError
from xwe.streams import ui_messages
from xwe.web.bodies.fields import parse_whole_number

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # Proxies must pass each piece on as it comes; "no-transform" because compression buffers.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
TEXT_HEADERS = {**HEADERS, "Content-Type": "text/plain; charset=utf-8"}

HEARTBEAT = b": still here\n\n"
_DONE = b"data: " + ui_messages.DONE + b"\n\n"
_ID_SEPARATOR = ":"


class Format(Protocol):
    """Turns an answer's events into the bytes of one reader's body.

    Attributes:
        heartbeat: what goes out while there are no events; empty for nothing.
        is_cut: set by `encode` or `gap` where the body has no word for how the answer ended: the
            connection is closed without the body's proper end, which every client reports.
    """

    heartbeat: bytes
    is_cut: bool

    def encode(self, first: int, events: Iterable[bytes], *, is_last: bool) -> bytes:
        """The bytes of these events, which are numbered from `first`."""

    def gap(self, number: int, gap: StreamGapError) -> bytes:
        """The end for a reader that was too slow: event `number` is gone."""


class EventFormat:
    """Numbered server-sent events, each with one event's JSON."""

    heartbeat = HEARTBEAT
    is_cut = False

    def encode(self, first: int, events: Iterable[bytes], *, is_last: bool) -> bytes:
        """As `Format.encode`."""
        frames = [b"id: %d\ndata: %b\n\n" % pair for pair in enumerate(events, first)]
        if is_last:
            frames.append(_DONE)
        return b"".join(frames)

    def gap(self, number: int, gap: StreamGapError) -> bytes:
        """As `Format.gap`."""
        return self.encode(number, (ui_messages.error(gap),), is_last=True)


class PlainEventFormat:
    """Server-sent events whose data is the text itself.

    An event's id is the length of the text so far, so that a browser which reconnects by itself
    goes on right there, whichever process makes the answer. A server that shuts down ends the body
    without `done`: the browser reconnects then, and finds the answer in another process.

    Args:
        answer_id: what the answer can be found by again.
        skip: how many characters of the text the reader has already.
    """

    heartbeat = HEARTBEAT
    is_cut = False

    def __init__(self, answer_id: str, skip: int = 0) -> None:
        self._answer_id = answer_id
        self._skip = skip
        self._chars = 0
        self._last_char = ""
        self._has_begun = False

    def encode(self, first: int, events: Iterable[bytes], *, is_last: bool) -> bytes:  # noqa: ARG002 - the events' own numbers are not sent
        """As `Format.encode`."""
        text, errors, is_done = "", [], is_last
        for event in map(orjson.loads, events):
            if event["type"] == "text-delta":
                text += event["delta"]
            elif event["type"] == "error":
                errors.append(orjson.dumps(event).decode())
            elif event["type"] == ui_messages.SHUTDOWN_TYPE:
                is_done = False
        frames = []
        if not self._has_begun:
            # An event without data only sets the id. A browser that reconnects without one, as
            # after an answer without a word, would say the same once more.
            self._has_begun = True
            frames.append(self._numbered(b"\n"))
        new = self._unread(text)
        if new:
            frames.append(self._numbered(_data(new)))
        frames += [self._numbered(b"event: error\n" + _data(error)) for error in errors]
        if is_done:
            frames.append(self._numbered(b"event: done\ndata: [DONE]\n\n"))
        return b"".join(frames)

    def gap(self, number: int, gap: StreamGapError) -> bytes:
        """As `Format.gap`."""
        return self.encode(number, (ui_messages.error(gap),), is_last=True)

    def _numbered(self, frame: bytes) -> bytes:
        chars = max(self._chars, self._skip)
        return f"id: {self._answer_id}{_ID_SEPARATOR}{chars}\n".encode() + frame

    def _unread(self, text: str) -> str:
        """What of the next piece the reader lacks."""
        if not text:
            return ""
        read = max(0, self._skip - self._chars)
        before = self._last_char if not read else text[read - 1 : read]
        self._chars += len(text)
        self._last_char = text[-1]
        unread = text[read:]
        # One line end, cut in two: its first half has gone out as a whole one.
        return unread.removeprefix("\n") if before == "\r" else unread


def _data(text: str) -> bytes:
    # Each kind of line end would end the field; a reader puts "\n" between the lines again.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return b"".join(b"data: %b\n" % line.encode("utf-8", "replace") for line in lines) + b"\n"


def parse_last_event_id(last_event_id: str) -> tuple[str, int] | None:
    """The answer's id and the characters read, of a `PlainEventFormat` id; None for any other."""
    answer_id, found, digits = last_event_id.rpartition(_ID_SEPARATOR)
    chars = parse_whole_number(digits)
    return (answer_id, chars) if found and chars is not None else None


class TextFormat:
    """The text in UTF-8 and nothing else: an error, which would read as speech, cuts the body."""

    heartbeat = b""
    is_cut = False

    def encode(self, first: int, events: Iterable[bytes], *, is_last: bool) -> bytes:  # noqa: ARG002 - text has no numbers
        """As `Format.encode`; whole characters."""
        text = ""
        for event in map(orjson.loads, events):
            if event["type"] == "text-delta":
                text += event["delta"]
            elif event["type"] in ("error", ui_messages.SHUTDOWN_TYPE):
                self.is_cut = True
        return text.encode()

    def gap(self, number: int, gap: StreamGapError) -> bytes:  # noqa: ARG002 - as above
        """As `Format.gap`."""
        self.is_cut = True
        return b""
