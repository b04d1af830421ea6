"""Where a JSON object that comes in pieces ends."""

import re
from typing import Final

MAX_ARGUMENT_CHARACTERS: Final = 1 << 20
"""Nobody's arguments are so long; a stream that never closes its object must not fill memory."""

_SPACE: Final = " \t\n\r"
_OUTSIDE: Final = re.compile(r'["{}]')
_IN_STRING: Final = re.compile(r'["\\]')


class ArgumentScanner:
    """Follows braces and strings, each character once, and keeps the text.

    It does not parse: an object that is closed may still be no JSON. Nothing but an object is
    taken for arguments.

    Attributes:
        length: of the text, in characters.
        is_empty: nothing but space has come.
        is_closed: the outermost object has ended.
        is_broken: it is no object, or longer than anybody's arguments.
        is_too_long: it is broken because of its length.
        overflow: something came after the closing brace.
    """

    __slots__ = (
        "_depth",
        "_in_string",
        "_is_escaped",
        "_pieces",
        "is_broken",
        "is_closed",
        "is_empty",
        "is_too_long",
        "length",
        "overflow",
    )

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self.length = 0
        self.is_empty = True
        self.is_closed = False
        self.is_broken = False
        self.is_too_long = False
        self.overflow = False

    @property
    def text(self) -> str:
        """What came, up to the closing brace."""
        return "".join(self._pieces)

    def feed(self, piece: str) -> bool:
        """Take the next piece; True when it closes the object."""
        if self.is_closed:
            self.overflow = self.overflow or bool(piece.strip(_SPACE))
            return False
        if self.is_broken or not piece:
            return False
        end = self._end_of_object(piece)
        kept = piece if end is None else piece[:end]
        if self.length + len(kept) > MAX_ARGUMENT_CHARACTERS:
            self.is_broken = self.is_too_long = True
            return False
        self._pieces.append(kept)
        self.length += len(kept)
        if end is None:
            return False
        self.is_closed = True
        self.overflow = bool(piece[end:].strip(_SPACE))
        return True

    def _end_of_object(self, piece: str) -> int | None:
        """Just behind the closing brace; None where the object goes on."""
        at = 0
        if self.is_empty:
            at = len(piece) - len(piece.lstrip(_SPACE))
            if at == len(piece):
                return None
            self.is_empty = False
            if piece[at] != "{":
                self.is_broken = True
                return None
        elif self._is_escaped:
            self._is_escaped = False
            at = 1
        return self._follow(piece, at)

    def _follow(self, piece: str, at: int) -> int | None:
        while mark := (_IN_STRING if self._in_string else _OUTSIDE).search(piece, at):
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
