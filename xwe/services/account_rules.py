"""What a user name and a password may be, and the normal form in which they are compared."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import orjson

from xwe.errors import InvalidRequestError

SHORTEST_PASSWORD = 8
# Otherwise anybody could make the server hash megabytes.
LONGEST_PASSWORD = 1024

LARGEST_SETTINGS = 16_384

# Letters, digits and Chinese characters; nothing that needs escaping in a URL.
_USERNAME = re.compile(r"[A-Za-z0-9_.\-\u3007\u3400-\u4dbf\u4e00-\u9fff]{2,32}")


def can_be_name(name: str) -> bool:
    """Whether the normal form of the name can be used."""
    return _USERNAME.fullmatch(name) is not None


def usable_name(username: str) -> str:
    """The normal form of a new account's name.

    Raises:
        InvalidRequestError: it cannot be used.
    """
    name = normal(username.strip())
    if not can_be_name(name):
        raise InvalidRequestError(
            "username must have 2 to 32 letters (a-z, A-Z), digits, Chinese characters or any of "
            "_ . -",
            field="username",
        )
    return name


def check_password(password: str, field: str) -> None:
    """Check a new password; `field` is its name in the request.

    Raises:
        InvalidRequestError: it is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidRequestError(
            f"{field} must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.", field=field
        )


def check_settings(values: Mapping[str, Any]) -> None:
    """Check a user's settings before they are stored.

    Raises:
        InvalidRequestError: they are too large, or nested too deeply.
    """
    try:
        size = len(orjson.dumps(values))
    except orjson.JSONEncodeError as error:
        raise InvalidRequestError("Settings cannot be nested so deeply.") from error
    if size > LARGEST_SETTINGS:
        raise InvalidRequestError(f"Settings have room for {LARGEST_SETTINGS} bytes.")


def normal(text: str) -> str:
    """The text in one form where keyboards produce several, such as full-width letters."""
    return unicodedata.normalize("NFKC", text)


def plain(text: str) -> str:
    """The text without control characters and surrounding space."""
    return "".join(character for character in text if character.isprintable()).strip()
