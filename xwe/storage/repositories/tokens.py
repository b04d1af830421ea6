"""Tokens: what programs show to act for a user, found by the digest of a secret."""

from sqlalchemy import bindparam, delete, insert, select, update

from xwe.errors import NotFoundError
from xwe.storage.models import token, user
from xwe.storage.records import Holder, Token
from xwe.storage.rows import columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

_insert = insert(token).returning(*columns(token, Token))
_holder = (
    select(token.c.id, token.c.user_id, user.c.username, user.c.is_admin, token.c.last_used_at)
    .join(user, user.c.id == token.c.user_id)
    .where(token.c.digest == bindparam("digest"))
)
_of_user = (
    select(*columns(token, Token))
    .where(token.c.user_id == bindparam("user_id"))
    .order_by(token.c.id.desc())
)
_touch = (
    update(token).where(token.c.id == bindparam("of")).values(last_used_at=bindparam("used_at"))
)
_delete = delete(token).where(
    token.c.id == bindparam("id"), token.c.user_id == bindparam("user_id")
)
_delete_all = delete(token).where(token.c.user_id == bindparam("user_id"))


def create(writing: Writing, user_id: int, *, name: str, digest: str) -> Token:
    """Create a token for the user."""
    values = {
        "user_id": user_id,
        "name": name,
        "digest": digest,
        "created_at": now(),
        "last_used_at": None,
    }
    return Token(*writing.execute(_insert, values).one())


def holder(reading: Reading, digest: str) -> Holder | None:
    """The user of a token; None if there is no such token."""
    return fetch_one(reading, Holder, _holder, digest=digest)


def listed(reading: Reading, user_id: int) -> list[Token]:
    """The user's tokens, newest first."""
    return fetch_all(reading, Token, _of_user, user_id=user_id)


def touch(writing: Writing, token_id: int) -> None:
    """Record its use."""
    writing.execute(_touch, {"of": token_id, "used_at": now()})


def remove(writing: Writing, user_id: int, token_id: int) -> None:
    """Delete one of the user's tokens.

    Raises:
        NotFoundError: there is no such token.
    """
    if not writing.execute(_delete, {"id": token_id, "user_id": user_id}).rowcount:
        raise NotFoundError


def remove_all(writing: Writing, user_id: int) -> None:
    """Delete the user's tokens."""
    writing.execute(_delete_all, {"user_id": user_id})
