"""Text that matches a regular expression, for the patterns that JSON Schemas have.

Understood are literals, escapes, classes, groups, alternatives, repetitions and the anchors;
not look-around and back-references.
"""

import random
import re
import string
from dataclasses import dataclass
from typing import Final

_DIGITS: Final = string.digits
_WORD: Final = string.ascii_lowercase + string.digits + "_"
_PLAIN: Final = string.ascii_lowercase
_PRINTABLE: Final = string.ascii_letters + string.digits + " -_.,:;!?+*/@#%&()"
_CLASSES: Final = {
    "d": _DIGITS,
    "w": _WORD,
    "s": " ",
    "D": _PLAIN,
    "W": "-.:",
    "S": _PLAIN,
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
# Longer texts than any schema's author means; nested repetitions multiply.
_MOST_CHARACTERS: Final = 100_000
# Repetitions are made longer step by step up to here, and then once as long as the text.
_MOST_STEPS: Final = 64
# A pattern that is bound to the text's end cannot be met by padding the text.
_CLOSED: Final = re.compile(r"\$|\\[Zz]")
_REPEAT: Final = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")


class _UnsupportedPatternError(Exception):
    """The pattern uses what this generator does not know."""


@dataclass(frozen=True, slots=True)
class _Chars:
    """One of these characters."""

    choices: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    """All of these, in order."""

    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of these."""

    branches: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    """This, from `least` to `most` times; None is without bound."""

    part: "_Node"
    least: int
    most: int | None


_Node = _Chars | _Sequence | _Choice | _Repeat


def matching_text(
    pattern: str, rng: random.Random, *, least: int = 0, most: int | None = None
) -> str | None:
    """A text of `least` to `most` characters in which the pattern is found; None if none was."""
    try:
        node = _Parser(pattern).parse()
        wanted = re.compile(pattern)
        for stretch in (*range(min(least, _MOST_STEPS) + 2), least):
            text = _Writer(rng, stretch).write(node)
            if len(text) < least and not _CLOSED.search(pattern):
                text += "x" * (least - len(text))
            fits = least <= len(text) and (most is None or len(text) <= most)
            if fits and wanted.search(text):
                return text
    except (_UnsupportedPatternError, re.error, ValueError, OverflowError, RecursionError):
        return None
    return None


class _Writer:
    """Writes one text, its open repetitions at least `stretch` times where they may."""

    def __init__(self, rng: random.Random, stretch: int) -> None:
        self._rng, self._stretch = rng, stretch
        self._room = _MOST_CHARACTERS

    def write(self, node: _Node) -> str:
        match node:
            case _Chars(choices):
                self._room -= 1
                if self._room < 0:
                    raise _UnsupportedPatternError
                return self._rng.choice(choices)
            case _Sequence(parts):
                return "".join(map(self.write, parts))
            case _Choice(branches):
                return self.write(self._rng.choice(branches))
            case _Repeat(part, least, most):
                count = max(least, self._stretch)
                count = count if most is None else min(most, count)
                if count > self._room:
                    raise _UnsupportedPatternError
                return "".join(self.write(part) for _ in range(count))


class _Parser:
    """A recursive descent through the pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def parse(self) -> _Node:
        node = self._alternatives()
        if self._at < len(self._pattern):
            raise _UnsupportedPatternError
        return node

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise _UnsupportedPatternError
        self._at += 1
        return char

    def _alternatives(self) -> _Node:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._peek() in "^$":
                self._at += 1
                continue
            part = self._atom()
            parts.append(self._repeated(part))
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _repeated(self, part: _Node) -> _Node:
        counted = _REPEAT.match(self._pattern, self._at)
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._peek())
        if counted:
            self._at = counted.end()
            least = int(counted[1])
            most = least if not counted[2] else int(counted[3]) if counted[3] else None
        elif simple:
            self._at += 1
            least, most = simple
        else:
            return part
        if self._peek() in ("?", "+"):  # lazy or possessive: the same texts match
            self._at += 1
        return _Repeat(part, least, most)

    def _atom(self) -> _Node:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._bracket()
        if char == ".":
            return _Chars(_PLAIN)
        if char == "\\":
            escaped = self._escape()
            return _Chars(escaped) if escaped else _Sequence(())
        if char in "*+?":
            raise _UnsupportedPatternError
        return _Chars(char)

    def _group(self) -> _Node:
        if self._peek() == "?":
            named = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)").match(self._pattern, self._at)
            if named is None:
                raise _UnsupportedPatternError
            self._at = named.end()
        node = self._alternatives()
        if self._take() != ")":
            raise _UnsupportedPatternError
        return node

    def _escape(self) -> str:
        """The characters that an escape stands for; none for a boundary."""
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in "bBAZz":
            return ""
        if char in "xu":
            digits = self._pattern[self._at : self._at + (2 if char == "x" else 4)]
            self._at += len(digits)
            return chr(int(digits, 16))
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum():
            raise _UnsupportedPatternError
        return char

    def _bracket(self) -> _Node:
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        choices = ""
        while self._peek() != "]" or not choices:
            low = self._member()
            following = self._pattern[self._at : self._at + 2]
            if len(low) == 1 and following[:1] == "-" and following[1:] not in ("", "]"):
                self._at += 1
                choices += _span(low, self._member())
            else:
                choices += low
        self._at += 1
        if negated:
            choices = "".join(char for char in _PRINTABLE if char not in choices)
        if not choices:
            raise _UnsupportedPatternError
        return _Chars(choices)

    def _member(self) -> str:
        char = self._take()
        return self._escape() if char == "\\" else char


def _span(low: str, high: str) -> str:
    # The first few of a wide range, as of all Chinese characters, are as good as all of them.
    last = min(ord(high[:1] or low), ord(low) + 127)
    return "".join(map(chr, range(ord(low), last + 1)))
