"""Sessions: the browsers in which users are signed in, found by the digest of a secret."""

from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from xwe.errors import NotFoundError
from xwe.storage.batches import DeleteSome
from xwe.storage.models import session, user
from xwe.storage.records import Holder, Session, User
from xwe.storage.rows import columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

_insert = insert(session)
# Sessions of an older version are from before a change of the password, and are over.
_holder = (
    select(session.c.id, session.c.user_id, user.c.username, user.c.is_admin, session.c.last_seen)
    .join(user, user.c.id == session.c.user_id)
    .where(
        session.c.digest == bindparam("digest"),
        session.c.session_version == user.c.session_version,
        session.c.last_seen > bindparam("seen_after"),
    )
)
_of_user = (
    select(*columns(session, Session))
    .join(user, user.c.id == session.c.user_id)
    .where(
        session.c.user_id == bindparam("user_id"),
        session.c.session_version == user.c.session_version,
        session.c.last_seen > bindparam("seen_after"),
    )
    .order_by(session.c.last_seen.desc(), session.c.id)
)
_touch = (
    update(session).where(session.c.id == bindparam("of")).values(last_seen=bindparam("seen_at"))
)
_delete = delete(session).where(
    session.c.id == bindparam("id"), session.c.user_id == bindparam("user_id")
)
_delete_shown = delete(session).where(session.c.digest == bindparam("digest"))
_purge = DeleteSome(session, session.c.last_seen <= bindparam("seen_before"))


def create(writing: Writing, of: User, *, digest: str, user_agent: str) -> None:
    """Create a session with the session version of `of`."""
    at = now()
    writing.execute(
        _insert,
        {
            "user_id": of.id,
            "digest": digest,
            "session_version": of.session_version,
            "user_agent": user_agent,
            "created_at": at,
            "last_seen": at,
        },
    )


def holder(reading: Reading, digest: str, *, seen_after: datetime) -> Holder | None:
    """The user of a session; None if it is over, or was not used since that time."""
    return fetch_one(reading, Holder, _holder, digest=digest, seen_after=seen_after)


def listed(reading: Reading, user_id: int, *, seen_after: datetime) -> list[Session]:
    """The user's sessions, most recently used first."""
    return fetch_all(reading, Session, _of_user, user_id=user_id, seen_after=seen_after)


def touch(writing: Writing, session_id: int) -> None:
    """Record its use."""
    writing.execute(_touch, {"of": session_id, "seen_at": now()})


def remove(writing: Writing, user_id: int, session_id: int) -> None:
    """End one of the user's sessions.

    Raises:
        NotFoundError: there is no such session.
    """
    if not writing.execute(_delete, {"id": session_id, "user_id": user_id}).rowcount:
        raise NotFoundError


def remove_shown(writing: Writing, digest: str) -> None:
    """End the session of that digest; no error if there is none."""
    writing.execute(_delete_shown, {"digest": digest})


def purge(writing: Writing, seen_before: datetime) -> int:
    """Delete a batch of sessions that were not used since a time; returns the number."""
    return _purge(writing, seen_before=seen_before)
