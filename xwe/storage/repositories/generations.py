"""Generations: running answers, each under a lease of the process that makes it.

A conversation has one running generation, over all processes; the database enforces it.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, literal_column, or_, select, update

from xwe.errors import GenerationRunningError
from xwe.storage.batches import DeleteSome
from xwe.storage.models import conversation, generation
from xwe.storage.records import Generation, GenerationStatus
from xwe.storage.rows import InsertUnlessTaken, columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

_g = generation.c
_columns = columns(generation, Generation)
_generations = select(*_columns)
_insert = InsertUnlessTaken(generation, Generation)
_by_id = _generations.join(conversation, conversation.c.id == _g.conversation_id).where(
    _g.id == bindparam("id"), conversation.c.user_id == bindparam("user_id")
)
# Written out, so that the partial indexes are used.
_is_running = _g.status == literal_column("'running'")
_running_count = (
    select(func.count())
    .select_from(generation)
    .join(conversation, conversation.c.id == _g.conversation_id)
    .where(conversation.c.user_id == bindparam("user_id"), _is_running)
)
_renew = (
    update(generation)
    .where(_g.id.in_(bindparam("ids", expanding=True)), _is_running)
    .values(lease_until=bindparam("until"))
    .returning(_g.id, _g.cancel_requested)
)
_is_read_elsewhere = _g.read_until > bindparam("at")
_asked_elsewhere = select(_g.id, _g.cancel_requested, _is_read_elsewhere.label("is_read")).where(
    _g.id.in_(bindparam("ids", expanding=True)),
    _is_running,
    or_(_g.cancel_requested, _is_read_elsewhere),
)
_keep_read = (
    update(generation)
    .where(_g.id == bindparam("row_id"), _is_running)
    .values(read_until=bindparam("until"))
)
_finish = (
    update(generation)
    .where(_g.id == bindparam("row_id"), _is_running)
    .values(status=bindparam("new_status"), finished_at=bindparam("at"))
)
_request_cancel = (
    update(generation)
    .where(
        _g.id == bindparam("row_id"),
        _is_running,
        _g.conversation_id.in_(
            select(conversation.c.id).where(conversation.c.user_id == bindparam("owner_id"))
        ),
    )
    .values(cancel_requested=True)
)
_expire = (
    update(generation)
    .where(_is_running, _g.lease_until < bindparam("at"))
    .values(status="partial", finished_at=bindparam("at"))
    .returning(*_columns)
)
_expired = _generations.where(_is_running, _g.lease_until < bindparam("at"))
_purge = DeleteSome(generation, _g.finished_at < bindparam("before"))


def begin(
    writing: Writing,
    generation_id: str,
    *,
    conversation_id: int,
    owner: str,
    lease_until: datetime,
) -> Generation:
    """Take the conversation's one slot for a running answer, under the answer's id.

    Raises:
        GenerationRunningError: the conversation is being answered already.
    """
    row = _insert(
        writing,
        id=generation_id,
        conversation_id=conversation_id,
        status="running",
        owner=owner,
        lease_until=lease_until,
        cancel_requested=False,
        created_at=now(),
        finished_at=None,
    )
    if row is None:
        raise GenerationRunningError
    return Generation(*row)


def get(reading: Reading, user_id: int, generation_id: str) -> Generation | None:
    """The user's generation with that id."""
    return fetch_one(reading, Generation, _by_id, user_id=user_id, id=generation_id)


def running_count(reading: Reading, user_id: int) -> int:
    """The number of the user's running answers, in all processes."""
    return int(reading.execute(_running_count, {"user_id": user_id}).scalar_one())


def renew_leases(
    writing: Writing, generation_ids: Sequence[str], until: datetime
) -> dict[str, bool]:
    """Renew the leases of this process's answers.

    Returns:
        for each that still runs, whether it is to be cancelled. A missing one was ended by
        another process, for which this one seemed dead.
    """
    if not generation_ids:
        return {}
    rows = writing.execute(_renew, {"ids": list(generation_ids), "until": until})
    return {row.id: row.cancel_requested for row in rows}


def asked_elsewhere(
    reading: Reading, generation_ids: Sequence[str], at: datetime
) -> tuple[set[str], set[str]]:
    """Those of them that are to be cancelled, and those that are read in other processes."""
    if not generation_ids:
        return set(), set()
    rows = reading.execute(_asked_elsewhere, {"ids": list(generation_ids), "at": at}).all()
    return {row.id for row in rows if row.cancel_requested}, {row.id for row in rows if row.is_read}


def keep_read(writing: Writing, generation_id: str, until: datetime) -> None:
    """Record that an answer is read in a process other than its owner's."""
    writing.execute(_keep_read, {"row_id": generation_id, "until": until})


def request_cancel(writing: Writing, user_id: int, generation_id: str) -> bool:
    """Ask the owner to stop it. False if it does not run, or is not the user's."""
    values = {"row_id": generation_id, "owner_id": user_id}
    return writing.execute(_request_cancel, values).rowcount == 1


def finish(writing: Writing, generation_id: str, status: GenerationStatus) -> bool:
    """End it. False, and no change, if it has ended already."""
    values = {"row_id": generation_id, "new_status": status, "at": now()}
    return writing.execute(_finish, values).rowcount == 1


def expired(reading: Reading, at: datetime) -> list[Generation]:
    """Those whose lease has expired."""
    return fetch_all(reading, Generation, _expired, at=at)


def expire(writing: Writing, at: datetime) -> list[Generation]:
    """End those whose lease has expired; the caller ends their messages (`messages.abandon`)."""
    return fetch_all(writing, Generation, _expire, at=at)


def purge(writing: Writing, finished_before: datetime) -> int:
    """Delete a batch of those that ended before a time; messages stay. Returns the number."""
    return _purge(writing, before=finished_before)
