"""What a handler is given: the job, and the ways to store progress, effects and its end."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal

from xwe.errors import DatabaseUnavailableError, JobCancelledError, JobLostError, SaturatedError
from xwe.jobs.rows import JobRows
from xwe.storage.database_threads import in_database
from xwe.storage.records import Job
from xwe.storage.repositories import jobs
from xwe.storage.units import Writing

log = logging.getLogger(__name__)

StopReason = Literal["cancelled", "lost", "interrupted"]
"""Cancelled by its user; taken by another runner; this process is about to end."""

Handler = Callable[["Work"], Awaitable[Any]]
"""A coroutine function that does a job and returns its result, in JSON's types. It runs on the
resident loop, so it must not block. It may be started again at any time: to happen once, an effect
is stored in one transaction with the end (`Work.finish`) or a checkpoint (`Work.checkpoint`), or
made idempotent by `Work.key`."""


class Work:
    """One attempt at one job.

    Attributes:
        job: the row as it was taken.
        key: identifies the job, whatever the attempt: for effects that must not happen twice.
        stopped: why the attempt has to end; None while it may go on.
    """

    def __init__(self, rows: JobRows, job: Job) -> None:
        self._rows = rows
        self.job = job
        self.key = f"job-{job.id}"
        self.stopped: StopReason | None = None

    @property
    def payload(self) -> Mapping[str, Any]:
        """The parameters of the job."""
        return self.job.payload

    @property
    def user_id(self) -> int | None:
        """The user that the job is for."""
        return self.job.user_id

    @property
    def detail(self) -> Mapping[str, Any]:
        """What earlier attempts have stored as `detail`."""
        return self.job.detail

    @property
    def attempt(self) -> int:
        """The number of this attempt, starting at 1."""
        return self.job.attempts

    def check(self) -> None:
        """Raise if the attempt has to end. For code in threads: a coroutine is cancelled anyway.

        Raises:
            JobCancelledError: the user has cancelled the job.
            JobLostError: the job is another runner's, or goes to one.
        """
        if self.stopped == "cancelled":
            raise JobCancelledError
        if self.stopped is not None:
            raise JobLostError

    async def progress(
        self, percent: float, message: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Store the progress.

        Args:
            percent: from 0 to 100.
            message: a short line for people.
            detail: merged into the stored one, key by key.

        Raises:
            JobCancelledError, JobLostError: as `check`.
        """
        self.check()
        shown = min(100, max(0, round(percent)))
        try:
            is_ours = await in_database(self._rows.progress, self.job, shown, message, detail or {})
        except (DatabaseUnavailableError, SaturatedError):
            # Progress is only shown; the job fails later if its effects cannot be stored either.
            log.warning("The progress of job %d could not be stored", self.job.id)
            return
        if not is_ours:
            self.stopped = self.stopped or "lost"
            self.check()

    def checkpoint(
        self,
        writing: Writing,
        *,
        percent: int,
        message: str,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Store the progress in the caller's transaction, together with its effects. Blocks.

        Raises:
            JobLostError: another runner has the job. The error must leave the transaction, which
                it rolls back.
        """
        if not jobs.progress(writing, self.job, percent=percent, message=message, detail=detail):
            raise JobLostError
        writing.after_commit(partial(self._rows.notify, self.job))

    def finish(self, writing: Writing, result: Any = None) -> None:
        """End the job in the caller's transaction, so that its effects happen once. Blocks.

        The handler should return next; what it returns is not stored.

        Raises:
            JobLostError: another runner has the job. The error must leave the transaction, which
                it rolls back.
        """
        if not jobs.finish(writing, self.job, result):
            raise JobLostError
        writing.after_commit(partial(self._rows.notify, self.job))
