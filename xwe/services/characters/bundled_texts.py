"""The text files that ship with the application: prompts for the model, and a sample a language.

An operator can replace prompts one by one: a file in their folder (XWE_PROMPTS_DIR) comes before
the one of the same name here, so `zh/category.md` replaces `prompts/zh/category.md`. Fields such as
`$name` are filled in; any other `$` stays as it is.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

from xwe.services.characters.categories import Language

OWN_PROMPTS = Path(__file__).parent / "prompts"
SAMPLES = Path(__file__).parent / "samples"


class Prompts:
    """The prompts in use.

    Args:
        directory: the operator's folder, if there is one.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory

    def text(self, language: Language, name: str, /, **values: str) -> str:
        """A prompt with its fields filled in."""
        return Template(self._read(language, name)).safe_substitute(values).strip()

    def _read(self, language: Language, name: str) -> str:
        file = Path(language) / f"{name}.md"
        if self._directory is not None and (self._directory / file).is_file():
            # Read at each use, so that an edited prompt takes effect at once.
            return (self._directory / file).read_text("utf-8")
        return _own_prompt(file)


@lru_cache
def _own_prompt(file: Path) -> str:
    return (OWN_PROMPTS / file).read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Sample:
    """A character's name and a text about it, so that the first character is one click."""

    name: str
    language: Language
    text: str


@lru_cache
def sample(language: Language) -> Sample:
    """The sample of a language; the first line of its file is the name."""
    heading, _, text = (SAMPLES / f"{language}.md").read_text("utf-8").partition("\n")
    return Sample(heading.lstrip("# ").strip(), language, text.strip())
