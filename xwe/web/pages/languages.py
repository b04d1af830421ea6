"""The pages' languages: one catalogue file each, and the choice for a request.

A reader's choice (`?lang=`, stored in a cookie) takes precedence over the browser's preference.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from flask import Request

CATALOGUES = Path(__file__).parent.parent / "catalogues"
DEFAULT_LANGUAGE = "en"

COOKIE = "xwe_lang"
COOKIE_AGE_S = 365 * 24 * 3600


class Catalogue:
    """The texts of one language by dotted name: `t("composer.send")`.

    A missing name raises KeyError: a page with gaps in it would go unnoticed.
    """

    def __init__(self, texts: Mapping[str, Any]) -> None:
        self.texts = texts

    def __call__(self, name: str) -> Any:
        """A text or, for a shorter name, a table or list of texts."""
        return reduce(lambda table, part: table[part], name.split("."), self.texts)

    def has(self, name: str) -> bool:
        """Whether there is a text with that name."""
        try:
            self(name)
        except KeyError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Languages:
    """All catalogues by language code."""

    catalogues: Mapping[str, Catalogue]

    @classmethod
    def load(cls) -> "Languages":
        """Read the catalogue files."""
        files = sorted(CATALOGUES.glob("*.toml"))
        return cls({file.stem: Catalogue(tomllib.loads(file.read_text("utf-8"))) for file in files})

    def choose(self, request: Request) -> str:
        """The language code for this request."""
        for wanted in (request.args.get("lang"), request.cookies.get(COOKIE)):
            if wanted is not None and wanted in self.catalogues:
                return wanted
        preferred = (tag.partition("-")[0].lower() for tag in request.accept_languages.values())
        return next((code for code in preferred if code in self.catalogues), DEFAULT_LANGUAGE)
