"""Tasks, which are jobs as their users see them: read, watch, cancel, retry.

`JobControl` is the operator's view of all jobs.
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

    A job's detail maps the name of a part to its state, or to an object with a `state`.
    `categories` shows the states only, `detail` everything.
    """
    view: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "status": _STATUS_BY_STATE[job.state],
        "progress": job.progress,
        "message": job.message,
        "categories": {
            name: stored.get("state") if isinstance(stored, dict) else stored
            for name, stored in job.detail.items()
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
    """Notifies a job's user of its state, wherever they listen in this process."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def __call__(self, job: Job) -> None:
        """Notify of the job's current state; call it after the commit."""
        if job.user_id is not None:
            notification = {"type": "task", "task": task_view(job)}
            self._notifications.publish(str(job.user_id), orjson.dumps(notification))


class Tasks:
    """The tasks of all users. Methods block; those that return views return what the API shows.

    Args:
        database: stores the jobs.
        notifications: those of this process.
        wake: called when the runner has something to do.
        limits: the number of unfinished jobs that one user may have; None for no limit.
        poll_s: how often a watched task is read without a notification, since those of other
            processes do not arrive here.
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
        """Call `rule` before a task of that kind is retried; it raises an error to refuse."""
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
        """Queue a job in the caller's transaction; returns the task's id.

        If an unfinished job has the same `dedupe_key`, nothing is queued and its id is returned.

        Raises:
            LimitExceededError: the user has as many unfinished jobs as allowed.
        """
        users.take_turn(writing, user_id)
        job = jobs.create(
            writing, kind=kind, payload=payload, user_id=user_id, dedupe_key=dedupe_key
        )
        self._check_limit(writing, user_id)
        self._notify_after(writing, job)
        return job.id

    def get(self, user_id: int, task_id: int) -> dict[str, Any]:
        """The task's current state.

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
        """A reader of the task's states as JSON, from the current one to the final one.

        It ends early when this process drains. Close it after use.

        Raises:
            NotFoundError: the user has no such task.
        """
        return self._watches.begin(user_id, task_id)

    def cancel(self, user_id: int, task_id: int) -> dict[str, Any]:
        """Cancel it, in whichever process it runs; a finished task stays as it is.

        Raises:
            NotFoundError: the user has no such task.
        """
        with self._database.write() as writing:
            job = jobs.request_cancel(writing, user_id, task_id)
            self._notify_after(writing, job)
        return task_view(job)

    def retry(self, user_id: int, task_id: int) -> dict[str, Any]:
        """Queue a failed or cancelled task again; its stored detail stays.

        Raises:
            NotFoundError: the user has no such task.
            ConflictError: it is unfinished or done, or another job with its `dedupe_key` is
                unfinished.
            LimitExceededError: the user has as many unfinished jobs as allowed.
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
        """End all watches, whose readers reconnect to another process. Idempotent."""
        self._watches.end()

    def _check_limit(self, writing: Writing, user_id: int) -> None:
        if self._limits is not None:
            # The job that is being queued is already counted.
            self._limits.refuse_more_jobs(jobs.count_unfinished(writing, user_id) - 1)

    def _notify_after(self, writing: Writing, job: Job) -> None:
        # In this order, so that the runner's notifications come later.
        writing.after_commit(partial(self._notify, job))
        writing.after_commit(self._wake)


class JobControl:
    """The operator's view of the jobs of all users. Methods block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, *, state: str | None, kind: str | None, limit: int) -> list[Job]:
        """Jobs, newest first, of one state or kind if given."""
        with self._database.read() as reading:
            return jobs.listed(
                reading, state=cast("JobState | None", state), kind=kind, limit=limit
            )

    def retry(self, job_id: int) -> Job:
        """Queue a failed or cancelled job again.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: it is unfinished or done, or another job with its `dedupe_key` is
                unfinished.
        """
        with self._database.write() as writing:
            return _retried(writing, _user_of(writing, job_id), job_id)

    def cancel(self, job_id: int) -> Job:
        """Cancel a job: at once if it is queued, else by its runner.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._database.write() as writing:
            return jobs.request_cancel(writing, _user_of(writing, job_id), job_id)


def _retried(writing: Writing, user_id: int, job_id: int) -> Job:
    """Queue the user's failed or cancelled job again.

    Raises:
        NotFoundError: the user has no such job.
        ConflictError: it is unfinished or done, or another job with its `dedupe_key` is
            unfinished.
    """
    job = jobs.get(writing, user_id, job_id)
    if job is None:
        raise NotFoundError
    if job.state not in {"dead", "cancelled"}:
        raise ConflictError("Only what failed or was cancelled can be tried again.")
    return jobs.retry(writing, user_id, job_id)


def _user_of(writing: Writing, job_id: int) -> int:
    job = jobs.by_id(writing, job_id)
    if job is None or job.user_id is None:
        raise NotFoundError(f"No user has a job {job_id}.")
    return job.user_id
