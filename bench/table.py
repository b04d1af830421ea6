"""A table of results: what is measured, row by row, beside the goal where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

NONE = "—"


@dataclass(frozen=True)
class Goal:
    """An upper limit (or a lower one) for a figure of ours."""

    limit: float
    unit: str = ""
    decimals: int = 2
    at_least: bool = False

    def verdict(self, measured: float | None) -> str:
        met = measured is not None and (
            measured >= self.limit if self.at_least else measured <= self.limit
        )
        sign = "≥" if self.at_least else "≤"
        unit = f" {self.unit}" if self.unit else ""
        limit = f"{self.limit:,.{self.decimals}f}"
        return f"{sign} {limit}{unit}: {'met' if met else '**missed**'}"


@dataclass
class Table:
    """Columns are headings; a cell is text already. `notes` are sentences below the table."""

    title: str
    columns: Sequence[str]
    intro: str = ""
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def markdown(self) -> str:
        lines = [f"## {self.title}", ""]
        if self.intro:
            lines += [self.intro, ""]
        lines.append(_line(self.columns))
        lines.append(_line(["---", *["---:"] * (len(self.columns) - 2), "---"]))
        lines += [_line(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def figure(value: float | None, decimals: int = 2) -> str:
    return NONE if value is None else f"{value:,.{decimals}f}"


def spread(values: Sequence[float], decimals: int) -> str:
    """The least and the most of several; nothing to say about one."""
    if len(values) < 2:
        return NONE
    return f"{min(values):,.{decimals}f}–{max(values):,.{decimals}f}"


def verdicts(*judged: tuple[Goal | None, float | None]) -> str:
    """All goals of a row in one cell; None where there is no goal."""
    return "; ".join(goal.verdict(value) for goal, value in judged if goal is not None) or NONE
