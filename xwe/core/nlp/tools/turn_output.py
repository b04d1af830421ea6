"""What a turn has shown and used: the parts of its message, its times and its tokens."""

import asyncio
from collections.abc import Iterator

from xwe.core.nlp.completion import Usage
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.events import TextKind
from xwe.core.nlp.tools.reply_reader import ReplyPiece, ReplyReader


class TextParts:
    """The parts of the message, of which at most one is open, whichever reply it comes from."""

    def __init__(self) -> None:
        self._reader: ReplyReader | None = None
        self._kind: TextKind = "text"
        self._text_id = ""
        self._count = 0

    def piece(self, reader: ReplyReader, kind: TextKind, text: str) -> Iterator[events.AgentEvent]:
        """Show a piece; another kind or another reply begins a new part."""
        if reader is not self._reader or kind != self._kind:
            yield from self.end()
            self._count += 1
            self._reader, self._kind = reader, kind
            self._text_id = f"{kind}-{self._count}"
            yield events.TextBegan(kind, self._text_id)
        yield self.more(text)

    def text_to_add(self, item: ReplyPiece, current: ReplyReader | None) -> str:
        """The text of a piece that only continues the open part, as nearly all pieces do.

        "" where there is more to do: the piece is from another reply than `current`, begins or
        ends something, or may have to be cut.
        """
        reader, delta = item.reader, item.delta
        if (
            delta is None
            or delta.tool_calls
            or delta.extra
            or reader.is_leaving
            or reader is not current
            or reader is not self._reader
            or self._kind != "text"
        ):
            return ""
        return delta.text

    def more(self, text: str) -> events.AgentEvent:
        """Show a piece of the open part."""
        return events.TextGrew(self._kind, self._text_id, text)

    def end(self, reader: ReplyReader | None = None) -> Iterator[events.AgentEvent]:
        """Close the open part, if it belongs to `reader` (None: to any reply)."""
        if self._reader is not None and reader in {None, self._reader}:
            self._reader = None
            yield events.TextEnded(self._kind, self._text_id)

    def id_of(self, reader: ReplyReader) -> str | None:
        """The id of the reply's open part."""
        return self._text_id if reader is self._reader else None


class TurnTotals:
    """Times and tokens of a turn while it goes on; for its loop only.

    Attributes:
        finish_reason: of the last answer.
        wasted: pieces of text that came and were not shown.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._ttft_s: float | None = None
        self._first_grounded_s: float | None = None
        self._usage: Usage | None = None
        self.finish_reason: str | None = None
        self.wasted = 0

    def now_s(self) -> float:
        """Seconds since the start of the turn."""
        return self._loop.time() - self._began_at

    def note_text(self, *, is_grounded: bool) -> None:
        """Record that text is shown; `is_grounded`: the model knew results when it wrote it."""
        if self._ttft_s is None:
            self._ttft_s = self.now_s()
        if is_grounded and self._first_grounded_s is None:
            self._first_grounded_s = self.now_s()

    def count(self, usage: Usage | None) -> None:
        """Add the usage of one request."""
        if usage is not None:
            so_far = self._usage or Usage()
            self._usage = Usage(
                so_far.prompt_tokens + usage.prompt_tokens,
                so_far.completion_tokens + usage.completion_tokens,
                so_far.total_tokens + usage.total_tokens,
            )

    def ended(self) -> events.TurnEnded:
        """The turn's last event."""
        timing = events.TurnTiming(self._ttft_s, self._first_grounded_s, self.now_s(), self.wasted)
        return events.TurnEnded(self.finish_reason, timing, self._usage)
