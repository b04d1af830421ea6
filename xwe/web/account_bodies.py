"""What the routes of accounts accept: each body as a frozen value, or an error naming the field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xwe.errors import InvalidRequestError, NotFoundError

# No database has a row beyond; SQLite's and PostgreSQL's own limit is this number.
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody signs in with."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """The password as it is and as it shall be."""

    old: str = field(repr=False)
    new: str = field(repr=False)


def credentials(body: Mapping[str, Any]) -> Credentials:
    """Check `{username, password}`."""
    return Credentials(_text(body, "username"), _text(body, "password"))


def password_change(body: Mapping[str, Any]) -> PasswordChange:
    """Check `{old, new}`."""
    return PasswordChange(_text(body, "old"), _text(body, "new"))


def token_name(body: Mapping[str, Any]) -> str:
    """Check `{name}`."""
    return _text(body, "name")


def row_id(number: int) -> int:
    """Check a number from an address; there is no row of a number that no database has.

    Raises:
        NotFoundError: it is one.
    """
    if number > _LARGEST_ID:
        raise NotFoundError
    return number


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"{name} must be a text, and not empty.", field=name)
    return value
