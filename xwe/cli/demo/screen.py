"""What the demo writes on: lines that grow in place on a terminal, each line once elsewhere."""

import io
import re
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from itertools import accumulate
from typing import Any, Final, TextIO

import click

WIDEST: Final = 100
NARROWEST: Final = 50
# Nobody sees faster redrawing, and a slow terminal would fall behind.
REDRAW_EVERY_S: Final = 0.1
# Where a line may be broken: after a Chinese character and the punctuation that must not begin a
# line, or after a word and its spaces.
_WIDE: Final = "⺀-鿿豈-﫿"
_STOPS: Final = "　-〿！-｠—…“”‘’"
_PIECES: Final = re.compile(rf"[{_WIDE}]?[{_STOPS}]+\s*|[{_WIDE}]\s*|[^\s{_WIDE}{_STOPS}]+\s*|\s+")


class Screen:
    """A terminal, a file or a pipe.

    Args:
        stream: where to write.
        environ: NO_COLOR turns the colours off, TERM=dumb the redrawing too.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        # A terminal that lacks a character shows another one, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        size = shutil.get_terminal_size()
        # A line that the terminal wraps cannot be redrawn in place.
        is_wide_enough = size.columns >= NARROWEST
        self.is_live = stream.isatty() and environ.get("TERM") != "dumb" and is_wide_enough
        self.width = min(size.columns - 1, WIDEST) if self.is_live else WIDEST
        self.height = size.lines
        self._stream = stream
        self._has_colour = self.is_live and not environ.get("NO_COLOR")
        self._drawn = 0
        try:
            "█✓✗·".encode(stream.encoding or "ascii")
            full, good, bad, pending = "█", "✓", "✗", "·"
        except (UnicodeEncodeError, LookupError):
            full, good, bad, pending = "#", "+", "x", "."
        self._full = full
        self.good = self.style(good, "green")
        self.bad = self.style(bad, "red")
        self.pending = self.style(pending, "bright_black")

    def style(self, text: str, colour: str | None = None, *, is_bold: bool = False) -> str:
        """`text` in a colour, where there are colours."""
        return click.style(text, fg=colour, bold=is_bold) if self._has_colour else text

    def say(self, text: str = "", colour: str | None = None, *, is_bold: bool = False) -> None:
        """Text that stays, wrapped to the screen's width."""
        for line in wrapped(text, self.width):
            self._write(self.style(line, colour, is_bold=is_bold) + "\n")

    def heading(self, text: str) -> None:
        """The title of a part."""
        self.say("\n" + text, "cyan", is_bold=True)

    def remark(self, text: str) -> None:
        """What should be known about the figures."""
        self.say(text, "bright_black")

    def watch(self, work: Sequence[Future[Any]], lines: Callable[[], Sequence[str]]) -> None:
        """Draw `lines()` until all the work is done. On Ctrl-C the work is cancelled."""
        try:
            while wait(work, REDRAW_EVERY_S).not_done:
                self._draw(lines())
        finally:
            for each in work:
                each.cancel()

    def settle(self, lines: Sequence[str]) -> None:
        """The last state of what was drawn; it stays."""
        if self.is_live:
            self._draw(lines)
            self._drawn = 0
        else:
            self._write("".join(f"{line}\n" for line in lines))

    def bar(self, share: float, width: int, colour: str) -> str:
        """A bar of `width` columns, filled to a share of it."""
        return self.style((self._full * round(width * share)).ljust(width), colour)

    def _draw(self, lines: Sequence[str]) -> None:
        """Replace the lines that were drawn before, on a terminal."""
        if self.is_live:
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            self._write(up + "".join(f"\r\x1b[2K{line}\n" for line in lines))
            self._drawn = len(lines)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def padded(text: str, width: int) -> str:
    """`text` with spaces behind it, `width` columns in all; cut where it is longer."""
    text = text[: sum(end <= width for end in accumulate(map(columns, text)))]
    return text + " " * (width - columns(text))


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns: broken at spaces, and within Chinese."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _PIECES.findall(paragraph):
            if line and columns(line) + columns(piece.rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += piece
        lines.append(line.rstrip())
    return lines
