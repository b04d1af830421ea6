"""What the demo model says: templates in the user's language that never claim to be more.

Each reply says that it comes from a demo, quotes the user, and is shaped like what a real model
would send (a list, a table, a code block), so that a page can be watched while it streams.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from xwe.mock.demo_model.topic import Language, Topic, last_text, read_topic, text_of
from xwe.mock.demo_model.vocabulary import read_data
from xwe.mock.tokens import split_tokens


@dataclass(frozen=True, slots=True)
class _Occasion:
    """All that a template reply depends on; hashable, so that equal replies are made once."""

    message: str
    system: str
    previous: str
    turn: int
    seed: int
    length: int | None


@cache
def _phrases(language: Language) -> dict[str, Any]:
    phrases = read_data(f"phrases_{language}")
    for kind in phrases["kinds"]:
        kind["asked_for"] = re.compile(kind["asked_for"])
    return phrases


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
    phrases = _phrases(topic.language)
    rng = random.Random(f"{occasion.seed}:{occasion.message}")  # noqa: S311 - variety, not secrecy
    return _at_length(_paragraphs(occasion, topic, phrases, rng), occasion.length, phrases, rng)


def _paragraphs(
    occasion: _Occasion, topic: Topic, phrases: Mapping[str, Any], rng: random.Random
) -> list[str]:
    quote = topic.quote()
    opening = rng.choice(phrases["openings"])
    if not quote:
        return [opening, phrases["nothing_asked"]]
    parts = [opening, phrases["heard"].format(quote=quote, characters=len(occasion.message))]
    kinds = (k["bodies"] for k in phrases["kinds"] if k["asked_for"].search(occasion.message))
    body = rng.choice(next(kinds, phrases["general"]))
    parts.append(body.replace("{quote}", topic.quote(16)))
    if occasion.previous:
        earlier = read_topic(occasion.previous).quote(24)
        parts.append(phrases["turn"].format(turn=occasion.turn, earlier=earlier))
    if occasion.system:
        parts.append(phrases["system"].format(system=read_topic(occasion.system).quote(32)))
    parts.append(rng.choice(phrases["closings"]))
    return parts


def _at_length(
    paragraphs: Sequence[str], length: int | None, phrases: Mapping[str, Any], rng: random.Random
) -> str:
    text = "\n\n".join(paragraphs)
    if length is None:
        return text
    tokens = list(split_tokens(text))
    fillers = list(phrases["fillers"])
    rng.shuffle(fillers)
    paragraph = 0
    while len(tokens) < length:
        tokens.extend(split_tokens("\n\n" + fillers[paragraph % len(fillers)]))
        paragraph += 1
    return "".join(tokens[:length])


def tool_results_reply(
    results: Sequence[tuple[str, str]], question: str, seed: int, length: int | None
) -> str:
    """A reply that brings tools' results together: (tool's name, its result's text) each."""
    topic = read_topic(question)
    phrases = _phrases(topic.language)
    rng = random.Random(f"{seed}:{question}")  # noqa: S311 - variety, not secrecy
    paragraphs = [
        rng.choice(phrases["openings"]),
        phrases["results"].format(quote=topic.quote(), count=len(results)),
        "\n".join(f"- **{name}**: {result}" for name, result in results),
        phrases["after_results"],
    ]
    return _at_length(paragraphs, length, phrases, rng)
