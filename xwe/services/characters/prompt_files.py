"""The prompts: text files, which an operator can replace one by one.

A file in the operator's folder (XWE_PROMPTS_DIR) comes before the one of the same name here:
`zh/category.md` replaces `prompts/zh/category.md`. `$name` and the like are filled in; any other
`$` stays as it is.
"""

from functools import lru_cache
from pathlib import Path
from string import Template

from xwe.services.characters.categories import Language

OWN_PROMPTS = Path(__file__).parent / "prompts"


class Prompts:
    """The prompts in force.

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
            # Each time anew, so that an edited prompt counts at once.
            return (self._directory / file).read_text("utf-8")
        return _own_text(file)


@lru_cache
def _own_text(file: Path) -> str:
    return (OWN_PROMPTS / file).read_text("utf-8")
