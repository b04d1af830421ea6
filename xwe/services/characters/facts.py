"""The facts in a source's text, which the categories are written from.

A short text is used as it is. A long one is split where its sentences end, and the model extracts
the facts of each part, several parts at once.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from xwe.core.concurrency.gather import gather_with_limit
from xwe.services.characters.bundled_texts import Prompts
from xwe.services.characters.categories import Language

# Up to this length, sending the text eight times costs less than a call to shorten it.
DIRECT_CHARS: Final = 8_000
PART_CHARS: Final = 6_000
PARTS_AT_ONCE: Final = 8
FACTS_OF_A_PART: Final = 30
# The limit of what each category is written from.
MAX_FACTS_CHARS: Final = 12_000

FACTS_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "items": {"type": "string", "maxLength": 1000},
            "maxItems": FACTS_OF_A_PART,
        }
    },
    "required": ["facts"],
    "additionalProperties": False,
}

_ENDS: Final = re.compile(r"\n+|(?<=[。！？!?；;])|(?<=[.])\s+")

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Asks the model: takes the user's message and a JSON Schema, returns a value that fits it."""


async def extract_facts(
    text: str, name: str, language: Language, prompts: Prompts, ask: Ask
) -> str:
    """The facts about `name` in a text, one a line; a short text is returned as it is."""
    if len(text) <= DIRECT_CHARS:
        return text
    parts = list(split_text(text, PART_CHARS))

    async def extract(index: int) -> list[str]:
        question = prompts.text(
            language,
            "facts",
            name=name,
            part=str(index + 1),
            parts=str(len(parts)),
            most=str(FACTS_OF_A_PART),
            text=parts[index],
        )
        reply = await ask(question, FACTS_SCHEMA)
        return [fact.strip() for fact in reply["facts"] if fact.strip()]

    found = await gather_with_limit(
        map(extract, range(len(parts))), PARTS_AT_ONCE, return_exceptions=False
    )
    return "\n".join(_fairly_bounded(found))


def split_text(text: str, size: int) -> Iterator[str]:
    """The text in parts of at most `size` characters, split between sentences where possible."""
    part = ""
    for sentence in _ENDS.split(text):
        for start in range(0, len(sentence), size):
            piece = sentence[start : start + size]
            if part and len(part) + 1 + len(piece) > size:
                yield part
                part = ""
            part = f"{part}\n{piece}" if part else piece
    if part.strip():
        yield part


def _fairly_bounded(found: list[list[str]]) -> list[str]:
    """The facts in order; if they are too long in all, each part loses its last ones."""
    chosen: list[tuple[int, int, str]] = []
    left = MAX_FACTS_CHARS
    for rank in range(max(map(len, found), default=0)):
        for part, facts in enumerate(found):
            if rank < len(facts) and left > len(facts[rank]):
                chosen.append((part, rank, facts[rank]))
                left -= len(facts[rank]) + 1
    return list(dict.fromkeys(fact for _, _, fact in sorted(chosen)))
