"""What the routes of accounts accept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xwe.errors import NotFoundError
from xwe.web.bodies import fields

# No database has a row beyond; SQLite's and PostgreSQL's own limit is this number.
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Credentials:
    """The username and password of a sign-in."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """The current password and the new one."""

    old: str = field(repr=False)
    new: str = field(repr=False)


def credentials(body: Mapping[str, Any]) -> Credentials:
    """Check `{username, password}`."""
    return Credentials(fields.secret(body, "username"), fields.secret(body, "password"))


def password_change(body: Mapping[str, Any]) -> PasswordChange:
    """Check `{old, new}`."""
    return PasswordChange(fields.secret(body, "old"), fields.secret(body, "new"))


def token_name(body: Mapping[str, Any]) -> str:
    """Check `{name}`."""
    return fields.secret(body, "name")


def row_id(number: int) -> int:
    """Check a row's number from an address.

    Raises:
        NotFoundError: no database has a row of that number.
    """
    if number > _LARGEST_ID:
        raise NotFoundError
    return number
