"""Users: accounts, their passwords and their settings."""

from typing import Any

from sqlalchemy import bindparam, delete, select, update

from xwe.errors import NotFoundError, UsernameTakenError
from xwe.storage.models import user
from xwe.storage.records import User
from xwe.storage.rows import InsertUnlessTaken, columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

_users = select(*columns(user, User))
_insert = InsertUnlessTaken(user, User)
_by_name = _users.where(user.c.username == bindparam("username"))
_by_id = _users.where(user.c.id == bindparam("id"))
_page = _users.where(user.c.id > bindparam("after_id")).order_by(user.c.id)
_end_sessions = (
    update(user)
    .where(user.c.id == bindparam("user_id"))
    .values(session_version=user.c.session_version + 1)
)
_set_password = _end_sessions.values(password_hash=bindparam("new_hash"))
_settings = select(user.c.settings).where(user.c.id == bindparam("id"))
_set_settings = (
    update(user).where(user.c.id == bindparam("user_id")).values(settings=bindparam("new_settings"))
)
# Not FOR UPDATE, which would block every insert of a row that refers to the user.
_turn = select(user.c.id).where(user.c.id == bindparam("id")).with_for_update(key_share=True)
_delete = delete(user).where(user.c.id == bindparam("id"))


def create(writing: Writing, *, username: str, password_hash: str, is_admin: bool = False) -> User:
    """Create an account.

    Raises:
        UsernameTakenError: the name is taken.
    """
    row = _insert(
        writing,
        username=username,
        password_hash=password_hash,
        is_admin=is_admin,
        session_version=1,
        settings={},
        created_at=now(),
    )
    if row is None:
        raise UsernameTakenError
    return User(*row)


def by_name(reading: Reading, username: str) -> User | None:
    """The account of that name."""
    return fetch_one(reading, User, _by_name, username=username)


def by_id(reading: Reading, user_id: int) -> User | None:
    """The account with that id."""
    return fetch_one(reading, User, _by_id, id=user_id)


def listed(reading: Reading, *, after_id: int = 0, limit: int = 100) -> list[User]:
    """Accounts in the order of their ids, those after `after_id`."""
    return fetch_all(reading, User, _page.limit(limit), after_id=after_id)


def set_password(writing: Writing, user_id: int, password_hash: str) -> None:
    """Change the password, which ends every session.

    Raises:
        NotFoundError: there is no such account.
    """
    _must_be_one(
        writing.execute(_set_password, {"user_id": user_id, "new_hash": password_hash}).rowcount
    )


def bump_session_version(writing: Writing, user_id: int) -> None:
    """End every session of the account.

    Raises:
        NotFoundError: there is no such account.
    """
    _must_be_one(writing.execute(_end_sessions, {"user_id": user_id}).rowcount)


def settings(reading: Reading, user_id: int) -> dict[str, Any]:
    """The user's settings; empty if there is no such user."""
    found: dict[str, Any] | None = reading.execute(_settings, {"id": user_id}).scalar()
    return found or {}


def set_settings(writing: Writing, user_id: int, values: dict[str, Any]) -> None:
    """Replace the user's settings.

    Raises:
        NotFoundError: there is no such account.
    """
    _must_be_one(
        writing.execute(_set_settings, {"user_id": user_id, "new_settings": values}).rowcount
    )


def take_turn(writing: Writing, user_id: int) -> None:
    """Lock the user until the transaction ends; other calls for the same user wait here.

    Call it before counting what a user has and adding to it: on PostgreSQL two transactions that
    count at once would both find room. SQLite's writers take turns anyway.
    """
    if writing.dialect == "postgresql":
        writing.execute(_turn, {"id": user_id})


def remove(writing: Writing, user_id: int) -> None:
    """Permanently delete the account and all that belongs to it.

    Raises:
        NotFoundError: there is no such account.
    """
    _must_be_one(writing.execute(_delete, {"id": user_id}).rowcount)


def _must_be_one(changed: int) -> None:
    if changed != 1:
        raise NotFoundError
