"""From text to typed values: what each kind of setting accepts, stated once for code and people.

Every parser is called with the variable's name and its text, and either returns the typed value
or raises `SettingsError(variable, value, allowed)`::

    positive_int("LLM_ASYNC_WORKERS", "8")     # 8
    positive_int("LLM_ASYNC_WORKERS", "many")  # SettingsError: ... a whole number from 1 ...
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from xwe.errors import SettingsError

T = TypeVar("T")

# Stricter than int() and float(), which also take "1_000", "nan", "1e9" and other scripts' digits.
_WHOLE = re.compile(r"[0-9]{1,12}")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]*)?|\.[0-9]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LONGEST_S = 86_400


@dataclass(frozen=True)
class Parser(Generic[T]):
    """A kind of value. `convert` raises `ValueError`; `allowed` tells people what fits."""

    allowed: str
    convert: Callable[[str], T]

    def __call__(self, variable: str, value: str) -> T:
        """The typed value of `variable`; raises `SettingsError` if `value` does not fit."""
        try:
            return self.convert(value.strip())
        except ValueError:
            raise SettingsError(variable, value, self.allowed) from None


def whole_number(low: int, high: int) -> Parser[int]:
    """Whole numbers from `low` to `high`, both included."""

    def convert(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return Parser(f"a whole number from {low} to {high}", convert)


def one_of(*names: str) -> Parser[str]:
    """One of a few names, in any case."""

    def convert(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(text)
        return text.lower()

    return Parser(f"one of {', '.join(names)}", convert)


def _seconds(text: str) -> float:
    if not _DECIMAL.fullmatch(text) or not 0 < float(text) <= _LONGEST_S:
        raise ValueError(text)
    return float(text)


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _base_url(text: str) -> str:
    # "localhost:11434" without a scheme is a common mistake: urlsplit takes "localhost" as one.
    parts = urlsplit(text)
    _ = parts.port  # raises ValueError if it is not a port
    # A password in the address would be printed wherever the address is.
    extras = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in {"http", "https"} or not parts.hostname or extras:
        raise ValueError(text)
    if not text.isprintable() or " " in text or parts.path.rstrip("/").endswith("/completions"):
        raise ValueError(text)
    return text.rstrip("/")


def _import_paths(text: str) -> tuple[str, ...]:
    paths = tuple(path.strip() for path in text.split(",") if path.strip())
    if not paths or not all(_IMPORT_PATH.fullmatch(path) for path in paths):
        raise ValueError(text)
    return paths


def _log_level(text: str) -> str:
    if text.upper() not in _LOG_LEVELS:
        raise ValueError(text)
    return text.upper()


def _address_of(*schemes: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if urlsplit(text).scheme not in schemes or not text.isprintable():
            raise ValueError(text)
        return text

    return convert


def _host(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        # All digits and dots is a mistyped address, not a name.
        if not _HOST_NAME.fullmatch(text) or not re.search(r"[A-Za-z]", text):
            raise
        return text


def _printable(text: str) -> str:
    # A header cannot carry a line break, and a pasted key often brings one along.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(text)
    return text


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(text)
    return Path(text)


positive_int = whole_number(1, 1_000_000)
count = whole_number(0, 1_000_000)
positive_seconds = Parser(f"a number of seconds above 0, at most {_LONGEST_S}", _seconds)
boolean = Parser("true or false", _boolean)
host = Parser("an IP address or a host name", _host)
token = Parser("printable ASCII without spaces", _printable)
directory = Parser("a directory's path", _path)
log_level = Parser(f"one of {', '.join(_LOG_LEVELS)}", _log_level)
import_paths = Parser("names like package.module:attribute, with commas between", _import_paths)
base_url = Parser(
    "an address such as http://127.0.0.1:11434/v1: http or https, ending before "
    "/chat/completions, without a query or a password",
    _base_url,
)
database_url = Parser(
    "an address that starts with sqlite:/// or postgresql://",
    _address_of("sqlite", "postgresql", "postgresql+psycopg"),
)
