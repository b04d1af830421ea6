"""The shape of a language's phrases."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of question and the bodies that answer it."""

    asked_for: re.Pattern[str]
    bodies: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """What the demo model can say in one language.

    `{quote}` and the like are filled in; a Kind's bodies know only `{quote}`.
    """

    openings: Sequence[str]
    nothing_asked: str
    heard: str
    kinds: Sequence[Kind]
    general: Sequence[str]
    turn: str
    system: str
    closings: Sequence[str]
    fillers: Sequence[str]
    results: str
    after_results: str
