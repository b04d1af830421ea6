"""A text that matches a simple regular expression, for the patterns that JSON Schemas have.

Understood are literals, escapes, classes, groups, alternatives, repetitions and anchors, but not
look-around, back-references and flags.
"""

import random
import re
import string
from typing import Final

_WORDS: Final = string.ascii_lowercase
_ANY: Final = string.ascii_letters + string.digits + " -_.,:;!?+*/@#%&()"
_CLASSES: Final = {"d": string.digits, "w": _WORDS, "s": " ", "D": _WORDS, "W": "-", "S": _WORDS}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "", "B": "", "A": "", "Z": ""}
_REPEAT: Final = re.compile(r"(?:\{(\d+)(,?)(\d*)\}|([*+?]))[?+]?")
_GROUP: Final = re.compile(r"\?(?::|P?<\w+>)")
_MOST_CHARACTERS: Final = 100_000
# How long open repetitions are made, one step after the other, before they are the whole text.
_MOST_STEPS: Final = 12


def matching_text(pattern: str, rng: random.Random, least: int = 0) -> str:
    """A text of at least `least` characters in which the pattern is found.

    Raises:
        re.error: it is no pattern.
        ValueError: none was made.
    """
    wanted = re.compile(pattern)
    for stretch in (*range(_MOST_STEPS), least):
        text = _Writer(pattern, rng, stretch).alternatives()
        if "$" not in pattern:
            text = text.ljust(least, "x")
        if len(text) >= least and wanted.search(text):
            return text
    raise ValueError(pattern)


class _Writer:
    """Reads a pattern from left to right and writes the text of each part.

    A repetition repeats one text: what matched once matches again.
    """

    def __init__(self, pattern: str, rng: random.Random, stretch: int) -> None:
        self._pattern, self._rng, self._stretch = pattern, rng, stretch
        self._at = 0

    def alternatives(self) -> str:
        """The text up to the end of the group, or of the pattern."""
        branches = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            branches.append(self._sequence())
        return self._rng.choice(branches)

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _sequence(self) -> str:
        text = ""
        while self._next() not in ("", "|", ")"):
            part = self._part()
            count = self._count()
            if len(text) + len(part) * count > _MOST_CHARACTERS:
                raise ValueError(self._pattern)
            text += part * count
        return text

    def _count(self) -> int:
        found = _REPEAT.match(self._pattern, self._at)
        if found is None:
            return 1
        self._at = found.end()
        digits, comma, limit, sign = found.groups()
        least = int(digits) if digits else int(sign == "+")
        most = 1 if sign == "?" else int(limit) if limit else None if sign or comma else least
        return max(least, self._stretch if most is None else min(self._stretch, most))

    def _part(self) -> str:
        char = self._take()
        if char in "^$":
            return ""
        if char == "(":
            return self._group()
        if char == "[":
            return self._rng.choice(self._bracket())
        if char == ".":
            return self._rng.choice(_WORDS)
        if char == "\\":
            return self._rng.choice(self._escaped() or [""])
        return char

    def _group(self) -> str:
        if self._next() == "?":
            named = _GROUP.match(self._pattern, self._at)
            if named is None:
                raise ValueError(self._pattern)
            self._at = named.end()
        text = self.alternatives()
        self._at += 1
        return text

    def _escaped(self) -> str:
        """The characters that an escape stands for; none for a boundary."""
        char = self._take()
        if char in "xu":
            digits = self._pattern[self._at : self._at + (2 if char == "x" else 4)]
            self._at += len(digits)
            return chr(int(digits, 16))
        known = _CLASSES | _CONTROLS
        if char not in known and char.isalnum():
            raise ValueError(self._pattern)
        return known.get(char, char)

    def _bracket(self) -> str:
        is_negated = self._next() == "^"
        self._at += is_negated
        choices = ""
        while self._next() != "]" or not choices:
            low = self._member()
            if self._next() == "-" and self._pattern[self._at + 1] != "]":
                self._at += 1
                # The first few of a wide range are as good as all of them.
                last = min(ord(self._member()), ord(low) + 127)
                choices += "".join(map(chr, range(ord(low), last + 1)))
            else:
                choices += low
        self._at += 1
        return "".join(char for char in _ANY if char not in choices) if is_negated else choices

    def _member(self) -> str:
        char = self._take()
        return self._escaped() if char == "\\" else char
