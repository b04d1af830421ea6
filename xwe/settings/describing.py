"""Settings described for people: `xwe config`, `.env.example` and docs/settings.md."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from xwe.settings.variable import MASK, SECTIONS, Variable
from xwe.settings.variables import VARIABLES


@dataclass(frozen=True)
class Row:
    """One variable with its current value, ready to print."""

    name: str
    value: str
    is_set: bool
    meaning: str


def describe(settings: object, given: frozenset[str]) -> list[Row]:
    """The rows for `settings`, whose groups and fields the variables name."""
    return [
        Row(
            name=variable.name,
            value=_shown(variable, settings, given),
            is_set=variable.name in given,
            meaning=_meaning(variable),
        )
        for variable in VARIABLES
    ]


def _shown(variable: Variable, settings: object, given: frozenset[str]) -> str:
    if variable.secret:
        return MASK if variable.name in given else "not set"
    value = attrgetter(variable.field)(settings)
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _meaning(variable: Variable) -> str:
    unit = f" [{variable.unit}]" if variable.unit else ""
    return f"{variable.meaning}{unit}"


def _sections() -> Iterator[tuple[str, list[Variable]]]:
    for section, members in groupby(VARIABLES, key=attrgetter("section")):
        yield SECTIONS[section], list(members)


def env_example() -> str:
    """The text of `.env.example`: every variable with meaning, unit, default and allowed values.

    All lines are comments, so that a copy of the file changes nothing until a line is edited.
    """
    lines = [
        "# Copy to .env and remove the `# ` before the lines you want to change.",
        "# What is set in the real environment wins over .env. An empty value counts as not set.",
        "# Made by `xwe config --example`; the table is xwe/settings/variables.py.",
    ]
    for title, members in _sections():
        lines += ["", "", f"# ---- {title} ----"]
        for variable in members:
            lines += ["", f"# {_meaning(variable)}", f"# Allowed: {variable.parse.allowed}."]
            if variable.derived:
                lines.append(f"# Not set: {variable.derived}.")
            lines.append(f"# {variable.name}={variable.default}")
    return "\n".join(lines) + "\n"


def markdown_table() -> str:
    """The text of docs/settings.md: the same as tables, one for each section."""
    lines = ["# Settings", "", "Made by `xwe config --table` from xwe/settings/variables.py.", ""]
    for title, members in _sections():
        lines += [f"## {title}", "", "| variable | default | meaning |", "| --- | --- | --- |"]
        for variable in members:
            default = f"`{variable.default}`" if variable.default else variable.derived
            allowed = variable.parse.allowed
            lines.append(
                f"| `{variable.name}` | {default} | {_meaning(variable)}. Allowed: {allowed}. |"
            )
        lines.append("")
    return "\n".join(lines)
