"""The pages' languages: a catalogue file for each, and which one a reader gets.

A reader's choice (`?lang=`, kept in a cookie) comes before the browser's own preference.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from flask import Request

CATALOGUES = resources.files("xwe.web") / "catalogues"
DEFAULT_LANGUAGE = "en"

COOKIE = "xwe_lang"
COOKIE_AGE_S = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Languages:
    """Every catalogue, by its language's code."""

    catalogues: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls) -> "Languages":
        """Read the catalogue files."""
        files = (file for file in CATALOGUES.iterdir() if file.name.endswith(".toml"))
        return cls(
            {
                file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8"))
                for file in sorted(files, key=lambda file: file.name)
            }
        )

    def choose(self, request: Request) -> str:
        """The code of the language for this request."""
        for wanted in (request.args.get("lang"), request.cookies.get(COOKIE)):
            if wanted in self.catalogues:
                return wanted
        return request.accept_languages.best_match(self.catalogues) or DEFAULT_LANGUAGE
