"""What can be a name and a password, and the one form in which both are compared."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import orjson

from xwe.errors import InvalidRequestError

SHORTEST_PASSWORD = 8
# Hashing a megabyte would be work that anybody can order.
LONGEST_PASSWORD = 1024

LARGEST_SETTINGS = 16_384

# Letters, digits and Chinese characters; nothing that would have to be escaped in an address.
_USERNAME = re.compile(r"[A-Za-z0-9_.\-\u3007\u3400-\u4dbf\u4e00-\u9fff]{2,32}")


def can_be_name(name: str) -> bool:
    """Whether an account can have that name, in its normal form."""
    return _USERNAME.fullmatch(name) is not None


def usable_name(username: str) -> str:
    """The name of a new account.

    Raises:
        InvalidRequestError: none can have it.
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
    """Refuse what is no password; `field` is the request's word for it.

    Raises:
        InvalidRequestError: it is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidRequestError(
            f"{field} must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.", field=field
        )


def check_settings(values: Mapping[str, Any]) -> None:
    """Refuse what cannot be kept as a user's settings.

    Raises:
        InvalidRequestError: it is too much, or nested too deeply.
    """
    try:
        size = len(orjson.dumps(values))
    except orjson.JSONEncodeError as error:
        raise InvalidRequestError("Settings cannot be nested so deeply.") from error
    if size > LARGEST_SETTINGS:
        raise InvalidRequestError(f"Settings have room for {LARGEST_SETTINGS} bytes.")


def normal(text: str) -> str:
    """One form for what keyboards write in several, as full-width letters."""
    return unicodedata.normalize("NFKC", text)


def plain(text: str) -> str:
    """Without what no name has: control characters, and space at the ends."""
    return "".join(character for character in text if character.isprintable()).strip()
