"""The arguments of a tool call: where the streamed JSON object ends, and what it says."""

import json
import re
from typing import Any, Final

import orjson

MAX_ARGUMENT_CHARACTERS: Final = 1 << 20
"""Longer arguments are refused: a stream that never closes its object must not fill memory."""

NOT_AN_OBJECT: Final = "The arguments must be one JSON object."
TOO_DEEP: Final = "The arguments are nested too deeply."
UNFINISHED: Final = "The arguments end in the middle of the JSON object."

_SPACE: Final = " \t\n\r"
_OUTSIDE_STRING: Final = re.compile(r'["{}]')
_INSIDE_STRING: Final = re.compile(r'["\\]')
# orjson reads an integer beyond 64 bits as a float, which would change an amount or an id.
_LONG_NUMBER: Final = re.compile(r"\d{19}")


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str]:
    """The arguments as a value, and what is wrong with them.

    Args:
        text: as the model wrote it; no text means no arguments.

    Returns:
        The object and "", or None and a sentence that the model can act on.
    """
    if not text.strip():
        return {}, ""
    try:
        value = orjson.loads(text)
        if _LONG_NUMBER.search(text):
            value = json.loads(text)
    except RecursionError:
        return None, TOO_DEEP
    except ValueError as error:
        return None, f"The arguments are not JSON: {error}."
    return (value, "") if isinstance(value, dict) else (None, NOT_AN_OBJECT)


class ArgumentScanner:
    """Finds the end of a JSON object that arrives in pieces, looking at each character once.

    It tracks braces and strings and does not parse, so a closed object may still be invalid JSON.
    It keeps no text.

    Attributes:
        is_closed: the outermost object has ended.
        is_broken: the text is not an object, or is too long.
        is_too_long: the text is longer than MAX_ARGUMENT_CHARACTERS.
    """

    __slots__ = (
        "_depth",
        "_in_string",
        "_is_escaped",
        "_length",
        "_started",
        "is_broken",
        "is_closed",
        "is_too_long",
    )

    def __init__(self) -> None:
        self._length = 0
        self._depth = 0
        self._started = False
        self._in_string = False
        self._is_escaped = False
        self.is_closed = False
        self.is_broken = False
        self.is_too_long = False

    def feed(self, piece: str) -> int:
        """Scan the next piece.

        Returns:
            How many of its characters belong to the arguments: all of them until the object
            closes, then none.
        """
        if self.is_closed:
            return 0
        if self.is_broken or not piece:
            return len(piece)
        end = self._end_of_object(piece)
        taken = len(piece) if end is None else end
        self._length += taken
        if self._length > MAX_ARGUMENT_CHARACTERS:
            self.is_broken = self.is_too_long = True
            return len(piece)
        self.is_closed = end is not None
        return taken

    def _end_of_object(self, piece: str) -> int | None:
        """The position after the closing brace; None if the object goes on."""
        at = 0
        if not self._started:
            at = len(piece) - len(piece.lstrip(_SPACE))
            if at == len(piece):
                return None
            self._started = True
            if piece[at] != "{":
                self.is_broken = True
                return None
        elif self._is_escaped:
            self._is_escaped = False
            at = 1
        return self._scan(piece, at)

    def _scan(self, piece: str, at: int) -> int | None:
        while mark := (_INSIDE_STRING if self._in_string else _OUTSIDE_STRING).search(piece, at):
            at = mark.end()
            match mark[0]:
                case "\\":
                    self._is_escaped = at == len(piece)
                    at += 1
                case '"':
                    self._in_string = not self._in_string
                case "{":
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if not self._depth:
                        return at
        return None
