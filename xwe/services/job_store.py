"""The jobs' rows as the runner's store, and what handlers write together with them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from xwe.errors import JobLostError
from xwe.jobs.store import TakenJob
from xwe.jobs.work import Work
from xwe.storage.database import Database
from xwe.storage.records import Job
from xwe.storage.repositories import jobs
from xwe.storage.units import Writing


class StoredJobs:
    """The job store of the application's database; see `JobStore`.

    Args:
        database: where the rows are.
        tell: called after the commit with each job that has changed.
    """

    def __init__(self, database: Database, tell: Callable[[Job], object]) -> None:
        self._database = database
        self._tell = tell

    def is_any_due(self, kinds: Sequence[str], at: datetime) -> bool:
        """Whether there is work."""
        with self._database.read() as reading:
            return jobs.is_any_due(reading, kinds, at)

    def take(self, kinds: Sequence[str], *, owner: str, lease_until: datetime) -> Job | None:
        """The next job that is due."""
        with self._database.write() as writing:
            taken = jobs.take(writing, kinds, owner=owner, lease_until=lease_until)
        if taken is not None:
            self._tell(taken)
        return taken

    def look(self, taken: TakenJob) -> bool | None:
        """Whether it is to be cancelled; None when it is another runner's."""
        ours = _row(taken)
        with self._database.read() as reading:
            job = jobs.by_id(reading, ours.id)
        if job is None or job.state != "running" or job.owner != ours.owner:
            return None
        return job.cancel_requested

    def renew(self, taken: TakenJob, lease_until: datetime) -> bool | None:
        """Prolong the lease."""
        with self._database.write() as writing:
            return jobs.renew(writing, _row(taken), lease_until)

    def give_back(self, taken: TakenJob) -> bool:
        """Let another runner take it at once; the attempt does not count."""
        return self._written(taken, jobs.give_back)

    def tell(self, taken: TakenJob) -> None:
        """Tell whoever listens how it stands."""
        with self._database.read() as reading:
            job = jobs.by_id(reading, taken.id)
        if job is not None:
            self._tell(job)

    def progress(
        self,
        taken: TakenJob,
        *,
        percent: int,
        message: str,
        detail: Mapping[str, Any] | None = None,
    ) -> bool:
        """Say how far it is."""
        noted = dict(detail or {})
        return self._written(
            taken,
            lambda writing, ours: jobs.progress(
                writing, ours, percent=percent, message=message, detail=noted
            ),
        )

    def finish(self, taken: TakenJob, result: Any) -> bool:
        """It is done."""
        return self._written(taken, lambda writing, ours: jobs.finish(writing, ours, result))

    def fail(self, taken: TakenJob, error: str, *, retry_at: datetime | None) -> bool:
        """It went wrong."""
        return self._written(
            taken, lambda writing, ours: jobs.fail(writing, ours, error, retry_at=retry_at)
        )

    def cancelled(self, taken: TakenJob) -> bool:
        """It has been stopped."""
        return self._written(taken, jobs.cancelled)

    def _written(self, taken: TakenJob, write: Callable[[Writing, Job], bool]) -> bool:
        with self._database.write() as writing:
            is_ours = write(writing, _row(taken))
            job = jobs.by_id(writing, taken.id)
        if job is not None:
            self._tell(job)
        return is_ours


def checkpoint(
    writing: Writing,
    work: Work,
    *,
    percent: int,
    message: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Note how far the work is, in one transaction with what it has done so far.

    Raises:
        JobLostError: another runner has the job; leaving the unit with it undoes all of it.
    """
    if not jobs.progress(
        writing, _row(work.taken), percent=percent, message=message, detail=detail
    ):
        raise JobLostError
    writing.after_commit(work.tell)


def finish_with(writing: Writing, work: Work, result: Any = None) -> None:
    """End the job, in one transaction with its effects: so they happen once.

    The handler returns afterwards; what it returns counts for nothing any more.

    Raises:
        JobLostError: another runner has the job; leaving the unit with it undoes all of it.
    """
    if not jobs.finish(writing, _row(work.taken), result):
        raise JobLostError
    writing.after_commit(work.tell)


def _row(taken: TakenJob) -> Job:
    # The runner hands back what `take` has given it, and nobody else makes one.
    assert isinstance(taken, Job)  # noqa: S101 - as above
    return taken
