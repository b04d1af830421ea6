"""Samples: texts that ship with the application, so that the first character is one click.

A sample's first line is the character's name, the rest its text.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from xwe.services.characters.categories import Language

SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """A name and what is told about it."""

    name: str
    language: Language
    text: str


@lru_cache
def sample(language: Language) -> Sample:
    """The sample of a language."""
    heading, _, text = (SAMPLES / f"{language}.md").read_text("utf-8").partition("\n")
    return Sample(heading.lstrip("# ").strip(), language, text.strip())
