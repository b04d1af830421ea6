"""What a job's handler is given: the job, and how to report progress and keep effects."""

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
"""Its owner has cancelled it; another runner has it; this process is about to end."""

Handler = Callable[["Work"], Awaitable[Any]]
"""Does a job on the resident loop, so it must not block; what it returns is the result, in JSON's
types. It may be started again at any point: effects belong into one transaction with the job's end
(`Work.finish`) or with a checkpoint (`Work.checkpoint`), or under `Work.key`."""


class Work:
    """One attempt at one job.

    Attributes:
        job: its row, as it was taken.
        key: names the work, the same at each attempt: for effects that must not happen twice.
        stopped: why the attempt is to end; None while it may go on.
    """

    def __init__(self, rows: JobRows, job: Job) -> None:
        self._rows = rows
        self.job = job
        self.key = f"job-{job.id}"
        self.stopped: StopReason | None = None

    @property
    def payload(self) -> Mapping[str, Any]:
        """What is to be done."""
        return self.job.payload

    @property
    def user_id(self) -> int | None:
        """For whom."""
        return self.job.user_id

    @property
    def detail(self) -> Mapping[str, Any]:
        """What earlier attempts have stored with their progress."""
        return self.job.detail

    @property
    def attempt(self) -> int:
        """The number of this attempt, starting at 1."""
        return self.job.attempts

    def check(self) -> None:
        """Raise if the attempt is to end; its coroutine is cancelled without asking.

        Raises:
            JobCancelledError: its owner has cancelled it.
            JobLostError: another runner takes it up.
        """
        if self.stopped == "cancelled":
            raise JobCancelledError
        if self.stopped is not None:
            raise JobLostError

    async def progress(
        self, percent: float, message: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Store how far it is.

        Args:
            percent: from 0 to 100.
            message: a short line for people.
            detail: its keys join those that were stored before.

        Raises:
            JobCancelledError, JobLostError: as `check`.
        """
        self.check()
        shown = min(100, max(0, round(percent)))
        try:
            is_ours = await in_database(self._rows.progress, self.job, shown, message, detail or {})
        except (DatabaseUnavailableError, SaturatedError):
            # The work itself is not worse for it; it stores its effects, or fails, by itself.
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
        """Store how far it is, in one transaction with what it has done so far. Blocks.

        Raises:
            JobLostError: another runner has the job; leaving the unit with it undoes all of it.
        """
        if not jobs.progress(writing, self.job, percent=percent, message=message, detail=detail):
            raise JobLostError
        writing.after_commit(partial(self._rows.notify, self.job))

    def finish(self, writing: Writing, result: Any = None) -> None:
        """End the job, in one transaction with its effects: so they happen once. Blocks.

        The handler returns afterwards; what it returns no longer counts.

        Raises:
            JobLostError: another runner has the job; leaving the unit with it undoes all of it.
        """
        if not jobs.finish(writing, self.job, result):
            raise JobLostError
        writing.after_commit(partial(self._rows.notify, self.job))
