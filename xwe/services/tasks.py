"""Tasks: a user's view of their jobs, to be looked at, watched, cancelled and tried again.

The operator's view of everybody's jobs is `JobControl`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, cast

import orjson

from xwe.errors import ConflictError, NotFoundError
from xwe.services.limits import Limits
from xwe.services.task_watch import TaskWatches
from xwe.storage.database import Database
from xwe.storage.records import Job, JobState
from xwe.storage.repositories import jobs, users
from xwe.storage.units import Writing
from xwe.streams.answer import AnswerReader
from xwe.streams.notifications import Notifications

TaskStatus = Literal["pending", "running", "done", "error", "cancelled"]

_STATUS_BY_STATE: dict[JobState, TaskStatus] = {
    "queued": "pending",
    "running": "running",
    "done": "done",
    "dead": "error",
    "cancelled": "cancelled",
}


def task_view(job: Job) -> dict[str, Any]:
    """A job as the HTTP API shows it, in JSON's types.

    `categories` has the parts' states alone, `detail` all that is stored about them: the job's
    detail maps a part's name to its state, or to an object with a `state`.
    """
    view: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "status": _STATUS_BY_STATE[job.state],
        "progress": job.progress,
        "message": job.message,
        "categories": {
            name: noted.get("state") if isinstance(noted, dict) else noted
            for name, noted in job.detail.items()
        },
        "detail": job.detail,
        "attempts": job.attempts,
        "elapsed_sec": round(_elapsed_s(job), 1),
        "created_at": job.created_at.isoformat(),
    }
    if job.state == "done":
        view["result"] = job.result
    if job.error is not None and job.state != "done":
        view["error"] = job.error
    return view


def _elapsed_s(job: Job) -> float:
    return max(0.0, ((job.finished_at or datetime.now(UTC)) - job.created_at).total_seconds())


class TaskNotifier:
    """Notifies a job's user how far it is, wherever they listen in this process."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def __call__(self, job: Job) -> None:
        """Notify them of the job as it is now; to be called after the commit."""
        if job.user_id is not None:
            notification = {"type": "task", "task": task_view(job)}
            self._notifications.publish(str(job.user_id), orjson.dumps(notification))


class Tasks:
    """The tasks of all users. All but `watch` return what the HTTP API shows; all block.

    Args:
        database: where the jobs are.
        notifications: of this process.
        wake: called when there is something for the runner to do.
        limits: how much unfinished work one user may have; None for as much as they like.
        poll_s: how often a watched task is read without a notification: those of other processes
            do not come here.
    """

    def __init__(
        self,
        database: Database,
        notifications: Notifications,
        *,
        wake: Callable[[], None],
        limits: Limits | None = None,
        poll_s: float = 1.0,
    ) -> None:
        self._database = database
        self._wake = wake
        self._limits = limits
        self._retry_rules: dict[str, Callable[[Writing, Job], None]] = {}
        self._notify = TaskNotifier(notifications)
        self._watches = TaskWatches(self.get, notifications, poll_s)

    def rule_retries(self, kind: str, rule: Callable[[Writing, Job], None]) -> None:
        """Have `rule` asked before a task of that kind is tried again; it raises to refuse."""
        self._retry_rules[kind] = rule

    def queue(
        self,
        writing: Writing,
        *,
        kind: str,
        payload: dict[str, Any],
        user_id: int,
        dedupe_key: str | None = None,
    ) -> int:
        """Queue work in the caller's transaction; the task's id.

        Where an unfinished job has the same `dedupe_key`, it is that one.

        Raises:
            LimitExceededError: the user has enough work unfinished.
        """
        users.take_turn(writing, user_id)
        job = jobs.create(
            writing, kind=kind, payload=payload, user_id=user_id, dedupe_key=dedupe_key
        )
        self._check_limit(writing, user_id)
        self._notify_after(writing, job)
        return job.id

    def get(self, user_id: int, task_id: int) -> dict[str, Any]:
        """How far the task is.

        Raises:
            NotFoundError: the user has no such task.
        """
        with self._database.read() as reading:
            job = jobs.get(reading, user_id, task_id)
        if job is None:
            raise NotFoundError
        return task_view(job)

    def listed(
        self, user_id: int, *, before_id: int | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """The user's tasks, newest first."""
        with self._database.read() as reading:
            found = jobs.listed(reading, user_id=user_id, before_id=before_id, limit=limit)
        return [task_view(job) for job in found]

    def watch(self, user_id: int, task_id: int) -> AnswerReader:
        """The task's states as they change, as JSON, from this one to the final one.

        The reader must be closed. It also ends when this process does.

        Raises:
            NotFoundError: the user has no such task.
        """
        return self._watches.begin(user_id, task_id)

    def cancel(self, user_id: int, task_id: int) -> dict[str, Any]:
        """End it, wherever it runs; one that has ended stays as it is.

        Raises:
            NotFoundError: the user has no such task.
        """
        with self._database.write() as writing:
            job = jobs.request_cancel(writing, user_id, task_id)
            self._notify_after(writing, job)
        return task_view(job)

    def retry(self, user_id: int, task_id: int) -> dict[str, Any]:
        """Queue one that failed or was cancelled anew; what it has noted stays.

        Raises:
            NotFoundError: the user has no such task.
            ConflictError: it has not ended, or well, or the same is being done again already.
            LimitExceededError: the user has enough work unfinished.
        """
        with self._database.write() as writing:
            users.take_turn(writing, user_id)
            job = _retried(writing, user_id, task_id)
            rule = self._retry_rules.get(job.kind)
            if rule is not None:
                rule(writing, job)
            self._check_limit(writing, user_id)
            self._notify_after(writing, job)
        return task_view(job)

    def drain(self) -> None:
        """End the watching: readers come back elsewhere. Idempotent."""
        self._watches.end()

    def _check_limit(self, writing: Writing, user_id: int) -> None:
        if self._limits is not None:
            # The one that is being queued counts among them already.
            self._limits.refuse_more_jobs(jobs.count_unfinished(writing, user_id) - 1)

    def _notify_after(self, writing: Writing, job: Job) -> None:
        # In this order: the runner's notifications are newer.
        writing.after_commit(partial(self._notify, job))
        writing.after_commit(self._wake)


class JobControl:
    """What an operator does with jobs, whoever they are for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, *, state: str | None, kind: str | None, limit: int) -> list[Job]:
        """Jobs, newest first, of one state or kind where that is given."""
        with self._database.read() as reading:
            return jobs.listed(
                reading, state=cast("JobState | None", state), kind=kind, limit=limit
            )

    def retry(self, job_id: int) -> Job:
        """Queue a failed or cancelled job anew.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: it has not ended, or well, or the same is being done again already.
        """
        with self._database.write() as writing:
            return _retried(writing, _user_of(writing, job_id), job_id)

    def cancel(self, job_id: int) -> Job:
        """End a job at once while it waits, else have its runner do so.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._database.write() as writing:
            return jobs.request_cancel(writing, _user_of(writing, job_id), job_id)


def _retried(writing: Writing, user_id: int, job_id: int) -> Job:
    """Queue the user's failed or cancelled job anew; what it has stored stays.

    Raises:
        NotFoundError: the user has no such job.
        ConflictError: it has not ended, or well, or the same is being done again already.
    """
    there = jobs.get(writing, user_id, job_id)
    if there is None:
        raise NotFoundError
    if there.state not in {"dead", "cancelled"}:
        raise ConflictError("Only what failed or was cancelled can be tried again.")
    return jobs.retry(writing, user_id, job_id)


def _user_of(writing: Writing, job_id: int) -> int:
    job = jobs.by_id(writing, job_id)
    if job is None or job.user_id is None:
        raise NotFoundError(f"No user has a job {job_id}.")
    return job.user_id
