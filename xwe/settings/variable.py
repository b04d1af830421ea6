"""One variable of the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xwe.errors import SettingsError
from xwe.settings.parsing import Parser

# Shown in place of a secret.
MASK = "(hidden)"
_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class Variable:
    """A variable, and where its value goes.

    `field` names the place in `Settings` ("group.field"). `default` is the text used if it is not
    set; if that depends on other settings, `default` is empty and `derived` explains it.
    """

    name: str
    field: str
    parse: Parser[Any]
    default: str
    meaning: str
    unit: str = ""
    derived: str = ""
    secret: bool = False

    @property
    def section(self) -> str:
        """Its group in `Settings`."""
        return self.field.partition(".")[0]

    def read(self, environ: Mapping[str, str]) -> Any:
        """The typed value; None if it is not set and has no fixed default.

        Raises:
            SettingsError: the text does not fit; a secret's text is never repeated in it.
        """
        text = environ.get(self.name, "").strip() or self.default
        if not text:
            return None
        try:
            return self.parse(self.name, text)
        except SettingsError as error:
            shown = MASK if self.secret else text[:_LONGEST_SHOWN]
            raise SettingsError(self.name, shown, error.allowed) from None


SECTIONS = {
    "server": "Web server",
    "access": "Who may call",
    "users": "What one user may use",
    "provider": "Which model answers",
    "llm": "How the model is called",
    "streams": "Streamed answers",
    "agent": "Tools",
    "storage": "Storage and jobs",
    "chats": "Chats with characters",
    "characters": "Making characters",
    "jobs": "Jobs in the background",
    "observation": "Observation",
}
