"""What the demo says, in two languages."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Texts = Mapping[str, Any]
"""The texts of one language by their names; see the TOML files beside this module."""


def texts_for(environ: Mapping[str, str]) -> Texts:
    """Chinese where the locale is, English elsewhere."""
    locale = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return read_texts("zh" if locale.lower().startswith("zh") else "en")


def read_texts(language: str) -> Texts:
    """All texts of a language, "zh" or "en"."""
    return tomllib.loads((Path(__file__).parent / f"texts_{language}.toml").read_text("utf-8"))
