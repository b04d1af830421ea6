"""Jobs: background work in durable rows. The row is the truth, whatever carries the work.

A runner takes a job under a lease, and is followed by another when it lets the lease run out.
Each taking has a name of its own in the row, and this name is the runner's right to write: one
that was taken for dead can change nothing any more.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, func, literal_column, or_, select, update

from xwe.errors import ConflictError, NotFoundError
from xwe.storage.batches import DeleteSome
from xwe.storage.models import job
from xwe.storage.records import Job, JobState
from xwe.storage.rows import InsertUnlessTaken, columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

# A fault that comes three times is not about to go away by itself.
MAX_ATTEMPTS = 3

_j = job.c
_columns = columns(job, Job)
_jobs = select(*_columns)
_insert = InsertUnlessTaken(job, Job)
# Written out, so that the partial indexes are used.
_is_unfinished = _j.state.in_([literal_column("'queued'"), literal_column("'running'")])
_by_key = _jobs.where(_j.dedupe_key == bindparam("dedupe_key"), _is_unfinished)
_by_id = _jobs.where(_j.id == bindparam("id"))
_of_user = _by_id.where(_j.user_id == bindparam("user_id"))
_held = _of_user.with_for_update()
_count_unfinished = (
    select(func.count()).select_from(job).where(_j.user_id == bindparam("user_id"), _is_unfinished)
)
_newest = _jobs.order_by(_j.id.desc()).limit(bindparam("count"))
_is_due = and_(
    _j.kind.in_(bindparam("kinds", expanding=True)),
    _is_unfinished,
    or_(
        and_(_j.state == "queued", _j.run_after <= bindparam("at")),
        and_(_j.state == "running", _j.lease_until < bindparam("at")),
    ),
)
_any_due = select(_j.id).where(_is_due).limit(1)
_next_due = (
    select(_j.id, _j.attempts, _j.cancel_requested, _j.error)
    .where(_is_due)
    .order_by(_j.run_after, _j.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_one = update(job).where(_j.id == bindparam("row_id"))
_take = _one.values(
    state="running",
    attempts=_j.attempts + 1,
    owner=bindparam("new_owner"),
    lease_until=bindparam("until"),
    updated_at=bindparam("at"),
).returning(*_columns)
_end: dict[Any, Any] = {
    "state": bindparam("new_state"),
    "error": bindparam("new_error"),
    "lease_until": None,
    "finished_at": bindparam("at"),
    "updated_at": bindparam("at"),
}
_park = _one.values(**_end)
_own = _one.where(_j.state == "running", _j.owner == bindparam("of_owner"))
_renew = _own.values(lease_until=bindparam("until")).returning(_j.cancel_requested)
_own_detail = (
    select(_j.detail)
    .where(
        _j.id == bindparam("row_id"),
        _j.state == "running",
        _j.owner == bindparam("of_owner"),
    )
    .with_for_update()
)
_progress = _own.values(
    progress=bindparam("new_progress"),
    message=bindparam("new_message"),
    detail=bindparam("new_detail"),
    updated_at=bindparam("at"),
)
_finish = _own.values(**_end, result=bindparam("new_result"), progress=100)
_fail = _own.values(**_end)
_again: dict[Any, Any] = {
    "state": "queued",
    "run_after": bindparam("due_at"),
    "owner": None,
    "lease_until": None,
    "updated_at": bindparam("at"),
}
_give_back = _own.values(**_again, attempts=_j.attempts - 1)
_fail_for_now = _own.values(**_again, error=bindparam("new_error"))
_retry = (
    _one.where(_j.user_id == bindparam("of_user"), _j.state.in_(["dead", "cancelled"]))
    .values(**_again, attempts=0, cancel_requested=False, finished_at=None, error=None)
    .returning(*_columns)
)
_ask_to_cancel = _one.values(cancel_requested=True, updated_at=bindparam("at"))
_cancel_running = _ask_to_cancel.returning(*_columns)
_cancel_queued = _ask_to_cancel.values(state="cancelled", finished_at=bindparam("at")).returning(
    *_columns
)
_purge = DeleteSome(job, _j.state.in_(["done", "cancelled"]), _j.finished_at < bindparam("before"))


def create(
    writing: Writing,
    *,
    kind: str,
    payload: dict[str, Any],
    user_id: int | None = None,
    dedupe_key: str | None = None,
    run_after: datetime | None = None,
) -> Job:
    """Queue work. Where an unfinished job has the same `dedupe_key`, that one is returned."""
    created_at = now()
    row = _insert(
        writing,
        user_id=user_id,
        kind=kind,
        payload=payload,
        dedupe_key=dedupe_key,
        state="queued",
        attempts=0,
        run_after=run_after or created_at,
        owner=None,
        lease_until=None,
        cancel_requested=False,
        progress=0,
        message="",
        detail={},
        result=None,
        error=None,
        created_at=created_at,
        updated_at=created_at,
        finished_at=None,
    )
    if row is not None:
        return Job(*row)
    there = fetch_one(writing, Job, _by_key, dedupe_key=dedupe_key)
    if there is None:  # it ended just now
        raise ConflictError
    return there


def get(reading: Reading, user_id: int, job_id: int) -> Job | None:
    """The user's job with that id."""
    return fetch_one(reading, Job, _of_user, user_id=user_id, id=job_id)


def by_id(reading: Reading, job_id: int) -> Job | None:
    """The job with that id, whose ever it is: for runners."""
    return fetch_one(reading, Job, _by_id, id=job_id)


def listed(
    reading: Reading,
    *,
    user_id: int | None = None,
    state: JobState | None = None,
    kind: str | None = None,
    key: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs, newest first, of one user, state or kind where that is given.

    `key` asks for those whose `dedupe_key` it is, or is a part of it (`key:part`).
    """
    wanted = {"user_id": user_id, "state": state, "kind": kind}
    statement = _newest.where(
        *(_j[name] == value for name, value in wanted.items() if value is not None)
    )
    if key is not None:
        is_part = _j.dedupe_key.startswith(f"{key}:", autoescape=True)
        statement = statement.where(or_(_j.dedupe_key == key, is_part))
    if before_id is not None:
        statement = statement.where(_j.id < before_id)
    return fetch_all(reading, Job, statement, count=limit)


def count_unfinished(reading: Reading, user_id: int) -> int:
    """How many of the user's jobs wait or run."""
    found: int = reading.execute(_count_unfinished, {"user_id": user_id}).scalar_one()
    return found


def is_any_due(reading: Reading, kinds: Sequence[str], at: datetime) -> bool:
    """Whether there is work: a look that takes no lock, for runners with nothing to do."""
    return reading.execute(_any_due, {"kinds": list(kinds), "at": at}).first() is not None


def take(
    writing: Writing, kinds: Sequence[str], *, owner: str, lease_until: datetime
) -> Job | None:
    """The next job that is due, now this runner's; None where there is none.

    A job whose runner has died is due again. One that has used up its attempts that way is
    parked, and one that was to be cancelled is cancelled.
    """
    at = now()
    while (due := writing.execute(_next_due, {"kinds": list(kinds), "at": at}).first()) is not None:
        if due.cancel_requested:
            _park_one(writing, due.id, "cancelled", due.error, at)
        elif due.attempts >= MAX_ATTEMPTS:
            _park_one(writing, due.id, "dead", due.error or "its runner died each time", at)
        else:
            # The number of attempts would not do: it begins anew at a retry.
            name = f"{owner}:{secrets.token_hex(8)}"
            values = {"row_id": due.id, "new_owner": name, "until": lease_until, "at": at}
            return fetch_one(writing, Job, _take, **values)
    return None


def _park_one(
    writing: Writing, job_id: int, state: JobState, error: str | None, at: datetime
) -> None:
    writing.execute(_park, {"row_id": job_id, "new_state": state, "new_error": error, "at": at})


def renew(writing: Writing, taken: Job, lease_until: datetime) -> bool | None:
    """Prolong the lease; whether the job is to be cancelled, None when it is not ours any more."""
    asked: bool | None = writing.execute(_renew, _right(taken) | {"until": lease_until}).scalar()
    return asked


def progress(
    writing: Writing,
    taken: Job,
    *,
    percent: int,
    message: str,
    detail: dict[str, Any] | None = None,
) -> bool:
    """Say how far it is; `detail`'s keys join those that are there. False when not ours."""
    there = writing.execute(_own_detail, _right(taken)).scalar()
    if there is None:
        return False
    values = _right(taken) | {
        "new_progress": percent,
        "new_message": message,
        "new_detail": there | (detail or {}),
        "at": now(),
    }
    return writing.execute(_progress, values).rowcount == 1


def finish(writing: Writing, taken: Job, result: Any = None) -> bool:
    """It is done. False when it is not ours any more: then its effects must be undone too."""
    values = {"new_state": "done", "new_error": None, "new_result": result, "at": now()}
    return writing.execute(_finish, _right(taken) | values).rowcount == 1


def fail(writing: Writing, taken: Job, error: str, *, retry_at: datetime | None) -> bool:
    """It went wrong: due again at `retry_at`, or parked when that is None or was the last attempt.

    False when it is not ours any more.
    """
    values = _right(taken) | {"new_error": error, "at": now()}
    if retry_at is not None and taken.attempts < MAX_ATTEMPTS:
        return writing.execute(_fail_for_now, values | {"due_at": retry_at}).rowcount == 1
    return writing.execute(_fail, values | {"new_state": "dead"}).rowcount == 1


def cancelled(writing: Writing, taken: Job) -> bool:
    """The runner has stopped it, as was asked. False when it is not ours any more."""
    values = {"new_state": "cancelled", "new_error": None, "at": now()}
    return writing.execute(_fail, _right(taken) | values).rowcount == 1


def give_back(writing: Writing, taken: Job) -> bool:
    """Let another runner take it at once; the attempt does not count. False when not ours."""
    at = now()
    values = _right(taken) | {"due_at": at, "at": at}
    return writing.execute(_give_back, values).rowcount == 1


def _right(taken: Job) -> dict[str, Any]:
    return {"row_id": taken.id, "of_owner": taken.owner}


def request_cancel(writing: Writing, user_id: int, job_id: int) -> Job:
    """End it: at once while it waits, else as soon as its runner looks. A finished one stays.

    Raises:
        NotFoundError: there is no such job.
    """
    # Held until the end: its runner may be putting it back into the queue, or another taking it.
    there = fetch_one(writing, Job, _held, user_id=user_id, id=job_id)
    if there is None:
        raise NotFoundError
    cancel = {"queued": _cancel_queued, "running": _cancel_running}.get(there.state)
    if cancel is None:
        return there
    return Job(*writing.execute(cancel, {"row_id": job_id, "at": now()}).one())


def retry(writing: Writing, user_id: int, job_id: int) -> Job:
    """Queue a parked or cancelled job anew.

    Raises:
        NotFoundError: there is no such job, or it is not parked.
        ConflictError: another one with its `dedupe_key` is unfinished.
    """
    at = now()
    values = {"row_id": job_id, "of_user": user_id, "due_at": at, "at": at}
    again = fetch_one(writing, Job, _retry, **values)
    if again is None:
        raise NotFoundError
    return again


def purge(writing: Writing, finished_before: datetime) -> int:
    """Forget a batch of those that were done or cancelled before then; parked ones stay.

    Returns:
        how many it were.
    """
    return _purge(writing, before=finished_before)
