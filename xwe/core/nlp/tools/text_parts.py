"""Which part of the message is open: one at a time, whoever speaks."""

from collections.abc import Iterator

from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.events import TextKind
from xwe.core.nlp.tools.speaker import Speaker, Spoken


class TextParts:
    """Begins and ends parts as pieces of another kind, or another speaker, come."""

    def __init__(self) -> None:
        self._speaker: Speaker | None = None
        self._kind: TextKind = "text"
        self._text_id = ""
        self._count = 0

    def piece(self, speaker: Speaker, kind: TextKind, text: str) -> Iterator[events.AgentEvent]:
        """A piece of the speaker's."""
        if speaker is not self._speaker or kind != self._kind:
            yield from self.end()
            self._count += 1
            self._speaker, self._kind = speaker, kind
            self._text_id = f"{kind}-{self._count}"
            yield events.TextBegan(kind, self._text_id)
        yield self.more(text)

    def text_to_add(self, item: Spoken, heard: Speaker | None) -> str:
        """The text of a piece that is nothing but more of the open part, as nearly all are.

        Else "": it is somebody else's than `heard`, it begins or ends something, or it may have to
        be cut.
        """
        speaker, delta = item.speaker, item.delta
        if (
            delta is None
            or delta.tool_calls
            or delta.extra
            or speaker.is_leaving
            or speaker is not heard
            or speaker is not self._speaker
            or self._kind != "text"
        ):
            return ""
        return delta.text

    def more(self, text: str) -> events.AgentEvent:
        """A piece of the open part."""
        return events.TextGrew(self._kind, self._text_id, text)

    def end(self, speaker: Speaker | None = None) -> Iterator[events.AgentEvent]:
        """Close the open part, if there is one and it is the speaker's (anyone's when None)."""
        if self._speaker is not None and speaker in {None, self._speaker}:
            self._speaker = None
            yield events.TextEnded(self._kind, self._text_id)

    def id_of(self, speaker: Speaker) -> str | None:
        """The part that the speaker has open."""
        return self._text_id if speaker is self._speaker else None
