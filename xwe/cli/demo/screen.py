"""What the demo writes on: lines that grow in place on a terminal, each line once elsewhere."""

import io
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TextIO

import click

WIDEST = 100
NARROWEST = 50
# Redrawing more often is not seen, and a slow terminal would fall behind.
REDRAW_EVERY_S = 0.1


class Screen:
    """A terminal, a file or a pipe.

    Args:
        stream: where to write.
        environ: NO_COLOR takes the colours away, TERM=dumb the redrawing too.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        # A terminal without the characters shows another one rather than a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        size = shutil.get_terminal_size()
        # A line that the terminal broke in two could not be found again.
        is_wide_enough = size.columns >= NARROWEST
        self.is_live = stream.isatty() and environ.get("TERM") != "dumb" and is_wide_enough
        self.width = min(size.columns - 1, WIDEST) if self.is_live else WIDEST
        self.height = size.lines
        self._stream = stream
        self._has_colour = self.is_live and not environ.get("NO_COLOR")
        self._drawn = 0
        self._full, self._ok, self._bad, self._dots = _marks(stream.encoding)

    def style(self, text: str, *, colour: str | None = None, is_bold: bool = False) -> str:
        """`text` with its colour where there are colours."""
        return click.style(text, fg=colour, bold=is_bold) if self._has_colour else text

    def heading(self, text: str) -> None:
        """The title of a part."""
        self.say()
        self._say_wrapped(text, colour="cyan", is_bold=True)

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._write(text + "\n")

    def result(self, text: str) -> None:
        """What a part has found."""
        self._say_wrapped(text, is_bold=True)

    def remark(self, text: str) -> None:
        """What should be known about it."""
        self._say_wrapped(text, colour="bright_black")

    def _say_wrapped(self, text: str, *, colour: str | None = None, is_bold: bool = False) -> None:
        for line in wrapped(text, self.width):
            self.say(self.style(line, colour=colour, is_bold=is_bold))

    def draw(self, lines: Sequence[str]) -> None:
        """Lines that will change: on a terminal they replace the ones drawn before."""
        if not self.is_live:
            return
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._write(up + "".join(f"\r\x1b[2K{line}\n" for line in lines))
        self._drawn = len(lines)

    def settle(self, lines: Sequence[str]) -> None:
        """The last state of what was drawn; it stays."""
        if self.is_live:
            self.draw(lines)
            self._drawn = 0
        else:
            for line in lines:
                self.say(line)

    def bar(self, part: float, whole: float, width: int) -> str:
        """A bar of `width` columns, filled to `part` of `whole`."""
        filled = min(width, max(1, round(width * part / whole))) if part > 0 and whole > 0 else 0
        return self._full * filled + " " * (width - filled)

    @property
    def mark_good(self) -> str:
        """Stands before what went well."""
        return self.style(self._ok, colour="green")

    @property
    def mark_bad(self) -> str:
        """Stands before what failed."""
        return self.style(self._bad, colour="red")

    @property
    def mark_open(self) -> str:
        """Stands before what is not decided."""
        return self.style(self._dots, colour="bright_black")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _marks(encoding: str | None) -> tuple[str, str, str, str]:
    try:
        "█✓✗·".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#", "+", "x", "."
    return "█", "✓", "✗", "·"


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int) -> str:
    """`text` with spaces behind it, `width` columns in all; cut where it is longer."""
    taken, kept = 0, []
    for character in text:
        if taken + _columns_of(character) > width:
            break
        kept.append(character)
        taken += _columns_of(character)
    return "".join(kept) + " " * (width - taken)


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of `width` columns at most: broken at spaces, and within Chinese."""
    lines = []
    for paragraph in text.splitlines():
        line, taken = "", 0
        for word in _words(paragraph):
            if taken + columns(word.rstrip()) > width and line:
                lines.append(line.rstrip())
                line, taken = "", 0
            line += word
            taken += columns(word)
        lines.append(line.rstrip())
    return lines


def _words(paragraph: str) -> list[str]:
    """Pieces between which a line may be broken; a space stays with the word before it."""
    words = [""]
    for character in paragraph:
        previous = words[-1][-1:]
        is_break = previous.isspace() and not character.isspace()
        is_wide = _columns_of(character) > 1 or (previous and _columns_of(previous) > 1)
        # A full-width stop or comma does not begin a line.
        is_stop = unicodedata.category(character).startswith("P")
        if is_break or (is_wide and not is_stop and not character.isspace()):
            words.append("")
        words[-1] += character
    return [word for word in words if word]
