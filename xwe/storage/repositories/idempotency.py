"""Idempotency: requests that were sent twice and are to be done once."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from xwe.errors import IdempotencyClashError
from xwe.storage.batches import DeleteSome
from xwe.storage.models import idempotency
from xwe.storage.records import Begun
from xwe.storage.rows import InsertUnlessTaken, now
from xwe.storage.units import Reading, Writing

_i = idempotency.c
_insert = InsertUnlessTaken(idempotency)
_is_one = (_i.user_id == bindparam("of_user"), _i.key == bindparam("of_key"))
_look = select(_i.body_hash, _i.response, _i.lease_until).where(*_is_one)
_locked = _look.with_for_update()
_take_over = update(idempotency).where(*_is_one).values(lease_until=bindparam("until"))
_finish = update(idempotency).where(*_is_one).values(response=bindparam("new_response"))
_forget = delete(idempotency).where(*_is_one, _i.response.is_(None))
_purge = DeleteSome(idempotency, _i.created_at < bindparam("before"))


def begin(
    writing: Writing, user_id: int, key: str, *, body_hash: str, lease_until: datetime
) -> Begun:
    """Claim the key: "new" for the one who is to do the work, who calls `finish` or `forget`.

    The others get "running", or "finished" with the response. One whose lease has run out is
    taken for dead, and the next to ask does the work.

    Raises:
        IdempotencyClashError: the key came with another body before.
    """
    created_at = now()
    row = _insert(
        writing,
        user_id=user_id,
        key=key,
        body_hash=body_hash,
        response=None,
        lease_until=lease_until,
        created_at=created_at,
    )
    if row is not None:
        return Begun("new")
    is_one = {"of_user": user_id, "of_key": key}
    body, response, lease = writing.execute(_locked, is_one).one()
    begun = _judged(body, response, body_hash)
    if begun.state == "finished" or lease >= created_at:
        return begun
    writing.execute(_take_over, is_one | {"until": lease_until})
    return Begun("new")


def look(reading: Reading, user_id: int, key: str, *, body_hash: str) -> Begun | None:
    """How far the request with this key is; None when there is none.

    Raises:
        IdempotencyClashError: the key came with another body.
    """
    row = reading.execute(_look, {"of_user": user_id, "of_key": key}).first()
    return None if row is None else _judged(row.body_hash, row.response, body_hash)


def _judged(body: str, response: dict[str, Any] | None, body_hash: str) -> Begun:
    if body != body_hash:
        raise IdempotencyClashError
    return Begun("running") if response is None else Begun("finished", response)


def finish(writing: Writing, user_id: int, key: str, response: dict[str, Any]) -> None:
    """Keep the response for whoever sends the request again."""
    values = {"of_user": user_id, "of_key": key, "new_response": response}
    writing.execute(_finish, values)


def forget(writing: Writing, user_id: int, key: str) -> None:
    """Let the request be tried again, since it came to nothing; a kept response stays."""
    writing.execute(_forget, {"of_user": user_id, "of_key": key})


def purge(writing: Writing, created_before: datetime) -> int:
    """Forget a batch of the keys from before then; how many it were."""
    return _purge(writing, before=created_before)
