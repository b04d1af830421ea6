"""What a message is about, as far as a demo model can tell: language, quotations, towns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from xwe.mock.demo_model.vocabulary import vocabulary

Language = Literal["zh", "en"]

_HAN: Final = re.compile(r"[㐀-鿿]")
_LATIN: Final = re.compile(r"[A-Za-z]")
_QUOTED: Final = re.compile(r"[「『“\"《]([^「」『』“”\"《》\n]{1,40})[」』”\"》]")
# JSON in the message has plain quotation marks of its own.
_TYPESET_QUOTED: Final = re.compile(r"[「『“《]([^「」『』“”《》\n]{1,40})[」』”》]")
_ASKED_FOR: Final = re.compile(
    r"\b(?:write|answer|reply|respond)\s+in\s+(english|chinese)\b|用(中文|英文)(?:书写|回答|回复|写)",
    re.IGNORECASE,
)
_PLACE_AFTER: Final = re.compile(r"\b(?:in|at|for|to|from|near)\s+((?:[A-Z][\w'-]+\s?){1,3})")
# Four letters carry about as much as one Chinese character.
_LETTERS_A_CHARACTER: Final = 4


@dataclass(frozen=True, slots=True)
class Topic:
    """What the last user message reveals.

    Attributes:
        language: to answer in.
        message: its text.
        quoted: the texts in quotation marks.
        places: the towns it names, in its order and spelling.
    """

    language: Language
    message: str
    quoted: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def quote(self, longest: int = 40) -> str:
        """The message in one short line."""
        line = " ".join(self.message.split())
        return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def text_of(content: Any) -> str:
    """The text of a message's content, whichever shape it has."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return ""


def last_text(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    """The text of the last message with this role; empty when there is none."""
    for message in reversed(messages):
        if message.get("role") == role:
            return text_of(message.get("content"))
    return ""


@lru_cache(maxsize=256)
def read_topic(message: str) -> Topic:
    """Find out what a message is about."""
    quotations = _TYPESET_QUOTED if "{" in message else _QUOTED
    return Topic(
        language=detect_language(message),
        message=message,
        quoted=tuple(found.strip() for found in quotations.findall(message)),
        places=_find_places(message),
    )


def asked_language(instructions: str) -> Language | None:
    """The language that a system message asks for in so many words."""
    found = _ASKED_FOR.search(instructions)
    if found is None:
        return None
    return "zh" if (found[1] or "").lower() == "chinese" or found[2] == "中文" else "en"


def detect_language(text: str) -> Language:
    """Chinese when enough of the text is, else English."""
    han = len(_HAN.findall(text))
    return "zh" if han and han * _LETTERS_A_CHARACTER >= len(_LATIN.findall(text)) else "en"


def _find_places(message: str) -> tuple[str, ...]:
    known = vocabulary().places.items()
    found = [(message.index(name), name) for pair in known for name in pair if name in message]
    if not found:
        found = [(m.start(), m.group(1).strip()) for m in _PLACE_AFTER.finditer(message)]
    return tuple(dict.fromkeys(name for _, name in sorted(found)))
