"""What the demo model says: templates in the user's language that never claim to be more.

Each reply says that it comes from a demo, quotes the user, and is shaped like what a real model
would send (a list, a table, a code block), so that a page can be watched while it streams.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from xwe.mock import phrases_en, phrases_zh
from xwe.mock.phrases import Phrases
from xwe.mock.tokens import split_tokens
from xwe.mock.topic import Language, Topic, last_text, read_topic, text_of

PHRASES: Final[Mapping[Language, Phrases]] = {
    "zh": phrases_zh.PHRASES,
    "en": phrases_en.PHRASES,
}


@dataclass(frozen=True, slots=True)
class _Occasion:
    """All that a template reply depends on; hashable, so that equal replies are made once."""

    message: str
    system: str
    previous: str
    turn: int
    seed: int
    length: int | None


def template_reply(messages: Sequence[Mapping[str, Any]], seed: int, length: int | None) -> str:
    """A reply to the conversation; exactly `length` tokens long where that is given."""
    asked = [text_of(m.get("content")) for m in messages if m.get("role") == "user"]
    return _reply(
        _Occasion(
            message=asked[-1] if asked else "",
            system=last_text(messages, "system") or last_text(messages, "developer"),
            previous=asked[-2] if len(asked) > 1 else "",
            turn=len(asked),
            seed=seed,
            length=length,
        )
    )


@lru_cache(maxsize=256)
def _reply(occasion: _Occasion) -> str:
    topic = read_topic(occasion.message)
    phrases = PHRASES[topic.language]
    rng = random.Random(f"{occasion.seed}:{occasion.message}")  # noqa: S311 - variety, not secrecy
    text = "\n\n".join(_paragraphs(occasion, topic, phrases, rng))
    return text if occasion.length is None else _at_length(text, occasion.length, phrases, rng)


def _paragraphs(
    occasion: _Occasion, topic: Topic, phrases: Phrases, rng: random.Random
) -> list[str]:
    quote = topic.quote()
    opening = rng.choice(phrases.openings)
    if not quote:
        return [opening, phrases.nothing_asked]
    parts = [opening, phrases.heard.format(quote=quote, characters=len(occasion.message))]
    kind = next((k for k in phrases.kinds if k.asked_for.search(occasion.message)), None)
    bodies = kind.bodies if kind is not None else phrases.general
    parts.append(rng.choice(bodies).replace("{quote}", topic.quote(16)))
    if occasion.previous:
        earlier = read_topic(occasion.previous).quote(24)
        parts.append(phrases.turn.format(turn=occasion.turn, earlier=earlier))
    if occasion.system:
        parts.append(phrases.system.format(system=read_topic(occasion.system).quote(32)))
    parts.append(rng.choice(phrases.closings))
    return parts


def _at_length(text: str, length: int, phrases: Phrases, rng: random.Random) -> str:
    tokens = list(split_tokens(text))
    fillers = list(phrases.fillers)
    rng.shuffle(fillers)
    paragraph = 0
    while len(tokens) < length:
        filler = "\n\n" + fillers[paragraph % len(fillers)]
        tokens.extend(split_tokens(filler))
        paragraph += 1
    return "".join(tokens[:length])


def tool_results_reply(
    results: Sequence[tuple[str, str]], question: str, seed: int, length: int | None
) -> str:
    """A reply that brings tools' results together: (tool's name, its result's text) each."""
    topic = read_topic(question)
    phrases = PHRASES[topic.language]
    rng = random.Random(f"{seed}:{question}")  # noqa: S311 - variety, not secrecy
    lines = "\n".join(f"- **{name}**: {result}" for name, result in results)
    parts = [
        rng.choice(phrases.openings),
        phrases.results.format(quote=topic.quote(), count=len(results)),
        lines,
        phrases.after_results,
    ]
    text = "\n\n".join(parts)
    return text if length is None else _at_length(text, length, phrases, rng)
