"""One attempt at one job, from a row that was taken to its stored end.

This is all that a runner needs besides taking rows: the attempt keeps its own lease.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from xwe.errors import (
    ClosedError,
    DatabaseUnavailableError,
    DrainingError,
    JobCancelledError,
    JobLostError,
    SaturatedError,
    XweError,
)
from xwe.jobs.rows import JobRows
from xwe.jobs.work import Handler, StopReason, Work
from xwe.storage.database_threads import in_database
from xwe.storage.records import Job

log = logging.getLogger(__name__)

# A lease is renewed when a third of it has gone: two failures in a row do not lose the job.
_RENEWALS = 3
# Each further wait for another attempt is so many times longer.
_BACKOFF_FACTOR = 4

DATABASE_IS_AWAY = (DatabaseUnavailableError, SaturatedError)


def utc_now() -> datetime:
    """This instant."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """The times of attempts, in seconds.

    Attributes:
        lease_s: how long a dead runner's job waits for another runner.
        check_s: how soon an attempt hears that its job was cancelled, and how often storing its
            end is tried while the database is away.
        backoff_s: how long a failed job waits for its second attempt; four times that for the
            third.
        clock: the time, as the rows have it.
    """

    lease_s: float = 30.0
    check_s: float = 0.5
    backoff_s: float = 2.0
    clock: Callable[[], datetime] = utc_now


class Attempt:
    """A job that is being done. For the resident loop only.

    Args:
        rows: where the job is.
        job: as it was taken.
        handler: does it.
        times: of its lease and its retries.
        taken_at: when it was taken, by the clock of `times`.
    """

    def __init__(
        self, rows: JobRows, job: Job, handler: Handler, times: AttemptTimes, taken_at: datetime
    ) -> None:
        self.job = job
        self._rows = rows
        self._handler = handler
        self._times = times
        self._work = Work(rows, job)
        self._task: asyncio.Task[Any] | None = None
        self._check_now: asyncio.Future[None] | None = None
        self._is_abandoned = False
        self._begin_lease(taken_at)

    async def run(self) -> None:
        """Run the handler to its end, keeping the lease meanwhile, and store how it ended.

        Raises:
            DatabaseUnavailableError, SaturatedError: the end could not be stored while the job
                was ours; another runner follows when the lease has run out.
        """
        task = self._task = asyncio.create_task(self._handle())
        if self._work.stopped is not None:
            task.cancel()
        while not task.done():
            # One that is to end is waited for: what it does while it unwinds belongs to it.
            check_s = self._times.check_s if self._work.stopped is None else None
            self._check_now = asyncio.get_running_loop().create_future()
            awaited: set[asyncio.Future[Any]] = {task, self._check_now}
            await asyncio.wait(awaited, timeout=check_s, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and self._work.stopped is None:
                await self._check()
        await self._store_end(task)

    def check_now(self) -> None:
        """Have the row checked at once: its job may have been cancelled."""
        if self._check_now is not None and not self._check_now.done():
            self._check_now.set_result(None)

    def stop(self, reason: StopReason) -> None:
        """Have the attempt end; the first reason stands."""
        if self._work.stopped is None:
            self._work.stopped = reason
            if self._task is not None:
                self._task.cancel()

    async def give_up(self) -> None:
        """Give the job back although its handler has not ended; its writes count no more."""
        self._is_abandoned = True
        await in_database(self._rows.give_back, self.job)

    async def _handle(self) -> Any:
        try:
            return await self._handler(self._work)
        except (KeyboardInterrupt, SystemExit) as error:  # which would end the loop
            raise RuntimeError("The handler has tried to end the process.") from error

    async def _check(self) -> None:
        """Renew the lease, and notice that the job was cancelled or is another runner's."""
        at = self._times.clock()
        try:
            if at < self._renew_at:
                is_cancelled = await in_database(self._rows.is_cancelled, self.job)
            else:
                until = at + timedelta(seconds=self._times.lease_s)
                is_cancelled = await in_database(self._rows.renew, self.job, until)
                self._begin_lease(at)
        except DATABASE_IS_AWAY as error:
            log.warning("The lease of job %d could not be checked: %s", self.job.id, error)
            is_cancelled = None if self._lease_until < at else False
        if is_cancelled is None:
            self.stop("lost")
        elif is_cancelled:
            self.stop("cancelled")

    def _begin_lease(self, at: datetime) -> None:
        lease = timedelta(seconds=self._times.lease_s)
        self._lease_until = at + lease
        self._renew_at = at + lease / _RENEWALS

    async def _store_end(self, task: asyncio.Task[Any]) -> None:
        stopped = self._work.stopped
        if task.cancelled():
            error: BaseException | None = JobLostError("The work was cancelled from within.")
        else:
            error = task.exception()
        if error is None:
            await self._store(self._rows.finish, task.result())
        elif stopped == "cancelled" or isinstance(error, JobCancelledError):
            await self._store(self._rows.cancelled)
        elif stopped == "interrupted" or isinstance(error, DrainingError | ClosedError):
            await self._store(self._rows.give_back)  # the process ends: no fault of the job's
        elif stopped is None:
            await self._store(self._rows.fail, _described(error, self.job), self._retry_at(error))

    def _retry_at(self, error: BaseException) -> datetime | None:
        """When another attempt may go better; None where it is known to fail again."""
        wait_s = self._times.backoff_s * _BACKOFF_FACTOR ** (self.job.attempts - 1)
        if isinstance(error, XweError):
            if not (error.retryable or isinstance(error, JobLostError)):
                return None
            wait_s = max(wait_s, error.retry_after_s or 0.0)
        return self._times.clock() + timedelta(seconds=wait_s)

    async def _store(self, write: Callable[..., object], *arguments: object) -> None:
        """Store the end; while the database is away, for as long as the job is ours."""
        while not self._is_abandoned:
            try:
                await in_database(write, self.job, *arguments)
            except DATABASE_IS_AWAY:
                if self._times.clock() > self._lease_until:
                    raise
                await asyncio.sleep(self._times.check_s)
            else:
                return


def _described(error: BaseException, job: Job) -> str:
    """What the job's user is told; a fault on this side is written to the log instead."""
    if isinstance(error, XweError) and type(error) is not XweError:
        log.warning("Job %d (%s) failed: %s", job.id, job.kind, error.message)
        return error.message
    log.error("Job %d (%s) failed", job.id, job.kind, exc_info=error)
    return f"Something went wrong on this side; its log knows it as job {job.id}."
