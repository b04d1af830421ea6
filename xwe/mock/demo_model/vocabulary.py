"""The words that the demo model knows, from `vocabulary.toml`."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JOINTS: Final = re.compile(r"[-\s_]+")


@dataclass(frozen=True, slots=True)
class FieldWords:
    """The texts for fields with certain names."""

    names: re.Pattern[str]
    zh: Sequence[str]
    en: Sequence[str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tables of `vocabulary.toml`, which says what they are; names are compiled."""

    fields: Sequence[FieldWords]
    ranges: Sequence[tuple[re.Pattern[str], tuple[float, float]]]
    formats: Mapping[str, str]
    places: Mapping[str, str]
    same_thing: Mapping[str, str]
    common: frozenset[str]


@cache
def vocabulary() -> Vocabulary:
    """All the words, read from the file once."""
    tables = read_data("vocabulary")
    return Vocabulary(
        fields=[FieldWords(_names(f["names"]), f["zh"], f["en"]) for f in tables["fields"]],
        ranges=[(_names(names), (low, high)) for names, (low, high) in tables["ranges"].items()],
        formats=tables["formats"],
        places=tables["places"],
        same_thing=tables["same_thing"],
        common=frozenset(tables["common"]["words"].split()),
    )


def read_data(name: str) -> dict[str, Any]:
    """One of the TOML files beside this module."""
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text("utf-8"))


def plain_name(key: str) -> str:
    """A field's name in lower case, its words joined by "_" however they were joined."""
    return _JOINTS.sub("_", _HUMP.sub("_", key)).lower()


def _names(words: str) -> re.Pattern[str]:
    """Finds one of the words, or its plural, at the end of a field's name."""
    english = "|".join(word for word in words.split("|") if word.isascii())
    chinese = "|".join(word for word in words.split("|") if not word.isascii())
    return re.compile(rf"(?:^|_)(?:{english})s?$|(?:{chinese or english})$")
