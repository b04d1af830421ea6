"""Tasks: a user's view of their jobs, to be looked at, watched, cancelled and tried again."""

from collections.abc import Callable
from functools import partial
from typing import Any

from xwe.errors import NotFoundError
from xwe.services.job_control import retry_of
from xwe.services.limits import Limits
from xwe.services.task_news import TaskNews, task_view
from xwe.services.task_watch import TaskWatches
from xwe.storage.database import Database
from xwe.storage.records import Job
from xwe.storage.repositories import jobs, users
from xwe.storage.units import Writing
from xwe.streams.answer import AnswerReader
from xwe.streams.notifications import Notifications


class Tasks:
    """The tasks of all users. All but `watch` return what the HTTP API shows; all block.

    Args:
        database: where the jobs are.
        notifications: who hears of them in this process.
        wake: called when there is something for the runner to look at.
        limits: how much work one user may have unfinished; without them, as much as they like.
        poll_s: how often a watched task is looked at without news: other processes' are not heard.
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
        self._news = TaskNews(notifications)
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
        self._tell_after(writing, job)
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
            self._tell_after(writing, job)
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
            job = retry_of(writing, user_id, task_id)
            rule = self._retry_rules.get(job.kind)
            if rule is not None:
                rule(writing, job)
            self._check_limit(writing, user_id)
            self._tell_after(writing, job)
        return task_view(job)

    def drain(self) -> None:
        """End the watching: readers come back elsewhere. Idempotent."""
        self._watches.end()

    def _check_limit(self, writing: Writing, user_id: int) -> None:
        if self._limits is not None:
            # The one that is being queued counts among them already.
            self._limits.refuse_more_jobs(jobs.count_unfinished(writing, user_id) - 1)

    def _tell_after(self, writing: Writing, job: Job) -> None:
        # In this order: what the runner tells of the job is newer.
        writing.after_commit(partial(self._news.tell, job))
        writing.after_commit(self._wake)
