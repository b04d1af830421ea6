"""One attempt at one job: from a row that was taken to an end that is stored.

An attempt renews its own lease, so all that a runner does is take rows and await `Attempt.run`.
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

# A lease is renewed after a third of its time, so that two failed renewals do not lose the job.
_RENEWALS = 3
# How much longer each wait for another attempt is than the one before.
_BACKOFF_FACTOR = 4

DATABASE_IS_AWAY = (DatabaseUnavailableError, SaturatedError)


def utc_now() -> datetime:
    """This instant."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """The durations of attempts, in seconds.

    Attributes:
        lease_s: how long a job stays with a runner that has died.
        check_s: how often the row is read for a cancel, and how often storing the end is retried
            while the database is unavailable.
        backoff_s: the wait before the second attempt; the third waits four times as long.
        clock: returns the time that leases are compared with.
    """

    lease_s: float = 30.0
    check_s: float = 0.5
    backoff_s: float = 2.0
    clock: Callable[[], datetime] = utc_now


class Attempt:
    """A running job. Make and use it on the resident loop only.

    Args:
        rows: stores the job.
        job: the row as it was taken.
        handler: does the work.
        times: how long the lease and the waits between attempts are.
        taken_at: when the row was taken, by `times.clock`.
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
        self._check_now: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_abandoned = False
        self._begin_lease(taken_at)

    async def run(self) -> None:
        """Run the handler, renewing the lease meanwhile, and store how it ended.

        Raises:
            DatabaseUnavailableError, SaturatedError: the end could not be stored before the lease
                expired; another runner will take the job.
        """
        task = self._task = asyncio.create_task(self._handle())
        try:
            if self._work.stopped is not None:
                task.cancel()
            while not task.done():
                # A stopped handler may take its time to unwind, so only its end is waited for.
                check_s = self._times.check_s if self._work.stopped is None else None
                awaited: set[asyncio.Future[Any]] = {task, self._check_now}
                await asyncio.wait(awaited, timeout=check_s, return_when=asyncio.FIRST_COMPLETED)
                if self._check_now.done():  # a new one first: a call during the check counts too
                    self._check_now = asyncio.get_running_loop().create_future()
                if not task.done() and self._work.stopped is None:
                    await self._check()
        finally:
            task.cancel()  # when a check has failed: without a lease, nothing it does counts
        await self._store_end(task)

    def check_now(self) -> None:
        """Read the row now rather than at the next regular check: the job may be cancelled."""
        if not self._check_now.done():
            self._check_now.set_result(None)

    def stop(self, reason: StopReason) -> None:
        """Cancel the handler; a second reason changes nothing."""
        if self._work.stopped is None:
            self._work.stopped = reason
            if self._task is not None:
                self._task.cancel()

    async def give_up(self) -> None:
        """Return the job to the queue although its handler still runs; it can store no more."""
        self._is_abandoned = True
        await in_database(self._rows.give_back, self.job)

    async def _handle(self) -> Any:
        try:
            return await self._handler(self._work)
        except (KeyboardInterrupt, SystemExit) as error:  # these would end the loop
            raise RuntimeError("The handler has tried to end the process.") from error

    async def _check(self) -> None:
        """Renew the lease if it is time, and stop if the job was cancelled or is not ours."""
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
            await self._store(self._rows.give_back)  # the process ends, the job has not failed
        elif stopped is None:
            await self._store(self._rows.fail, _described(error, self.job), self._retry_at(error))

    def _retry_at(self, error: BaseException) -> datetime | None:
        """When to try again; None if the error says that it would fail again."""
        wait_s = self._times.backoff_s * _BACKOFF_FACTOR ** (self.job.attempts - 1)
        if isinstance(error, XweError):
            if not (error.retryable or isinstance(error, JobLostError)):
                return None
            wait_s = max(wait_s, error.retry_after_s or 0.0)
        return self._times.clock() + timedelta(seconds=wait_s)

    async def _store(self, write: Callable[..., object], *arguments: object) -> None:
        """Store the end, retrying until the lease expires while the database is unavailable."""
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
    """The error that the user sees; the details of an internal error go to the log only."""
    if isinstance(error, XweError) and type(error) is not XweError:
        log.warning("Job %d (%s) failed: %s", job.id, job.kind, error.message)
        return error.message
    log.error("Job %d (%s) failed", job.id, job.kind, exc_info=error)
    return f"Something went wrong on this side; its log knows it as job {job.id}."
