"""Server-sent events of plain text: an answer for front ends that read `data:` lines as they are.

Each event is a piece of the text. Its number is how much of the text has come by then, so that a
browser which connects again by itself goes on right there, whoever makes the answer by now.
"""

from collections.abc import Iterable

import orjson

_NAME_END = ":"


class PlainText:
    """Turns a stream's events into lines of its text; for one reader.

    Args:
        stream_id: what the answer can be found by again.
        skip: how many characters of the text its reader has already.
    """

    def __init__(self, stream_id: str, skip: int = 0) -> None:
        self._stream_id = stream_id
        self._skip = skip
        self._chars = 0
        self._last_char = ""
        self._has_begun = False

    def __call__(self, first: int, events: Iterable[bytes], *, is_last: bool) -> bytes:  # noqa: ARG002 - the events' own numbers are not told
        """The events as they go over the wire."""
        text, errors = "", []
        for event in events:
            said = orjson.loads(event)
            if said["type"] == "text-delta":
                text += said["delta"]
            elif said["type"] == "error":
                errors.append(orjson.dumps(said).decode())
        frames = []
        if not self._has_begun:
            # An event without data only sets the number. A browser that connects again without
            # one, as after an answer without a word, would say the same once more.
            self._has_begun = True
            frames.append(self._numbered(b"\n"))
        new = self._unread(text)
        if new:
            frames.append(self._numbered(_data(new)))
        frames += [self._numbered(b"event: error\n" + _data(error)) for error in errors]
        if is_last:
            frames.append(self._numbered(b"event: done\ndata: [DONE]\n\n"))
        return b"".join(frames)

    def _numbered(self, frame: bytes) -> bytes:
        chars = max(self._chars, self._skip)
        return f"id: {self._stream_id}{_NAME_END}{chars}\n".encode() + frame

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


def parse_number(last_event_id: str) -> tuple[str, int] | None:
    """The answer, and how much of its text was read, of a `Last-Event-ID`; None of another's."""
    stream_id, found, chars = last_event_id.rpartition(_NAME_END)
    if not found or not (chars.isascii() and chars.isdecimal() and len(chars) < 10):  # noqa: PLR2004 - more is no text's length
        return None
    return stream_id, int(chars)
