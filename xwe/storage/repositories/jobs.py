"""Jobs: background work in durable rows. The row is the truth, whichever runner does the work.

A runner takes a job under a lease; when the lease expires, another runner may take it. Each time it
is taken, the row gets a new owner, a token that every write must present: a runner that was
presumed dead can no longer change anything.
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

# A job that has failed three times will hardly succeed the fourth time.
MAX_ATTEMPTS = 3

_j = job.c
_columns = columns(job, Job)
_jobs = select(*_columns)
_insert = InsertUnlessTaken(job, Job)
# Literals rather than parameters, so that the partial indexes are used.
_is_unfinished = _j.state.in_([literal_column("'queued'"), literal_column("'running'")])
_by_key = _jobs.where(_j.dedupe_key == bindparam("dedupe_key"), _is_unfinished)
_by_keys = _jobs.where(
    _j.dedupe_key.in_(bindparam("keys", expanding=True)), _is_unfinished
).order_by(_j.id.desc())
_by_id = _jobs.where(_j.id == bindparam("id"))
_of_user = _by_id.where(_j.user_id == bindparam("user_id"))
_held = _of_user.with_for_update()
_count_unfinished = (
    select(func.count()).select_from(job).where(_j.user_id == bindparam("user_id"), _is_unfinished)
)
_newest = _jobs.order_by(_j.id.desc()).limit(bindparam("count"))
_newest_by_key = _newest.where(
    _j.user_id == bindparam("user_id"), _j.dedupe_key == bindparam("dedupe_key")
)
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
    """Queue a job, or return the unfinished one with the same `dedupe_key`."""
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
    if there is None:  # it has just ended
        raise ConflictError
    return there


def get(reading: Reading, user_id: int, job_id: int) -> Job | None:
    """The user's job with that id; None if there is none."""
    return fetch_one(reading, Job, _of_user, user_id=user_id, id=job_id)


def by_id(reading: Reading, job_id: int) -> Job | None:
    """The job with that id, whoever its user is; for runners and operators."""
    return fetch_one(reading, Job, _by_id, id=job_id)


def listed(
    reading: Reading,
    *,
    user_id: int | None = None,
    state: JobState | None = None,
    kind: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs, newest first, of one user, state or kind if given."""
    wanted = {"user_id": user_id, "state": state, "kind": kind}
    statement = _newest.where(
        *(_j[name] == value for name, value in wanted.items() if value is not None)
    )
    if before_id is not None:
        statement = statement.where(_j.id < before_id)
    return fetch_all(reading, Job, statement, count=limit)


def unfinished(reading: Reading, keys: Sequence[str]) -> list[Job]:
    """The queued and running jobs with one of these `dedupe_key`s, newest first."""
    return fetch_all(reading, Job, _by_keys, keys=list(keys))


def newest(reading: Reading, user_id: int, key: str) -> Job | None:
    """The user's newest job with this `dedupe_key`, in any state."""
    return fetch_one(reading, Job, _newest_by_key, user_id=user_id, dedupe_key=key, count=1)


def count_unfinished(reading: Reading, user_id: int) -> int:
    """The number of the user's queued and running jobs."""
    found: int = reading.execute(_count_unfinished, {"user_id": user_id}).scalar_one()
    return found


def is_any_due(reading: Reading, kinds: Sequence[str], at: datetime) -> bool:
    """Whether a job of these kinds is due. Takes no lock, so idle runners may poll it."""
    return reading.execute(_any_due, {"kinds": list(kinds), "at": at}).first() is not None


def take(
    writing: Writing, kinds: Sequence[str], *, owner: str, lease_until: datetime
) -> Job | None:
    """Take the next due job for `owner`; None if none is due.

    A job with an expired lease is due again, unless it was cancelled or has used up its attempts:
    then it is ended or parked here.
    """
    at = now()
    while (due := writing.execute(_next_due, {"kinds": list(kinds), "at": at}).first()) is not None:
        if due.cancel_requested:
            _park_one(writing, due.id, "cancelled", due.error, at)
        elif due.attempts >= MAX_ATTEMPTS:
            _park_one(writing, due.id, "dead", due.error or "its runner died each time", at)
        else:
            # The number of attempts is no token: a retry starts it again.
            token = f"{owner}:{secrets.token_hex(8)}"
            values = {"row_id": due.id, "new_owner": token, "until": lease_until, "at": at}
            return fetch_one(writing, Job, _take, **values)
    return None


def _park_one(
    writing: Writing, job_id: int, state: JobState, error: str | None, at: datetime
) -> None:
    writing.execute(_park, {"row_id": job_id, "new_state": state, "new_error": error, "at": at})


def renew(writing: Writing, taken: Job, lease_until: datetime) -> bool | None:
    """Renew the lease; returns whether the job was cancelled, None if it is not ours any more."""
    values = _owned(taken) | {"until": lease_until}
    is_cancelled: bool | None = writing.execute(_renew, values).scalar()
    return is_cancelled


def progress(
    writing: Writing,
    taken: Job,
    *,
    percent: int,
    message: str,
    detail: dict[str, Any] | None = None,
) -> bool:
    """Store the progress; `detail` is merged key by key. False if the job is not ours any more."""
    stored = writing.execute(_own_detail, _owned(taken)).scalar()
    if stored is None:
        return False
    values = _owned(taken) | {
        "new_progress": percent,
        "new_message": message,
        "new_detail": stored | (detail or {}),
        "at": now(),
    }
    return writing.execute(_progress, values).rowcount == 1


def finish(writing: Writing, taken: Job, result: Any = None) -> bool:
    """End it as done. False if it is not ours any more: then its effects must be rolled back."""
    values = {"new_state": "done", "new_error": None, "new_result": result, "at": now()}
    return writing.execute(_finish, _owned(taken) | values).rowcount == 1


def fail(writing: Writing, taken: Job, error: str, *, retry_at: datetime | None) -> bool:
    """Queue a failed job again for `retry_at`; park it if that is None or no attempt is left.

    False if it is not ours any more.
    """
    values = _owned(taken) | {"new_error": error, "at": now()}
    if retry_at is not None and taken.attempts < MAX_ATTEMPTS:
        return writing.execute(_fail_for_now, values | {"due_at": retry_at}).rowcount == 1
    return writing.execute(_fail, values | {"new_state": "dead"}).rowcount == 1


def cancelled(writing: Writing, taken: Job) -> bool:
    """End a running job as cancelled. False if it is not ours any more."""
    values = {"new_state": "cancelled", "new_error": None, "at": now()}
    return writing.execute(_fail, _owned(taken) | values).rowcount == 1


def give_back(writing: Writing, taken: Job) -> bool:
    """Return it to the queue, due at once, without counting the attempt. False if not ours."""
    at = now()
    values = _owned(taken) | {"due_at": at, "at": at}
    return writing.execute(_give_back, values).rowcount == 1


def _owned(taken: Job) -> dict[str, Any]:
    return {"row_id": taken.id, "of_owner": taken.owner}


def request_cancel(writing: Writing, user_id: int, job_id: int) -> Job:
    """Cancel it: at once if queued, else when its runner next checks. A finished one stays.

    Raises:
        NotFoundError: the user has no such job.
    """
    # Locked, since a runner may be taking it or returning it to the queue.
    there = fetch_one(writing, Job, _held, user_id=user_id, id=job_id)
    if there is None:
        raise NotFoundError
    cancel = {"queued": _cancel_queued, "running": _cancel_running}.get(there.state)
    if cancel is None:
        return there
    return Job(*writing.execute(cancel, {"row_id": job_id, "at": now()}).one())


def retry(writing: Writing, user_id: int, job_id: int) -> Job:
    """Queue a parked or cancelled job again, with all its attempts.

    Raises:
        NotFoundError: the user has no such job, or it is neither parked nor cancelled.
        ConflictError: another one with its `dedupe_key` is unfinished.
    """
    at = now()
    values = {"row_id": job_id, "of_user": user_id, "due_at": at, "at": at}
    again = fetch_one(writing, Job, _retry, **values)
    if again is None:
        raise NotFoundError
    return again


def purge(writing: Writing, finished_before: datetime) -> int:
    """Delete a batch of jobs that were done or cancelled before then; parked ones stay.

    Returns:
        the number of deleted jobs.
    """
    return _purge(writing, before=finished_before)
