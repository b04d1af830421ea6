"""The rows of jobs as a runner uses them: one transaction each, and a notification afterwards."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from xwe.storage.database import Database
from xwe.storage.records import Job
from xwe.storage.repositories import jobs
from xwe.storage.units import Writing


class JobRows:
    """Every method blocks. A write for a job that another runner has taken changes nothing.

    Args:
        database: where the rows are.
        notify: called after the commit with each job that has changed.
    """

    def __init__(self, database: Database, notify: Callable[[Job], object]) -> None:
        self._database = database
        self._notify = notify

    def is_any_due(self, kinds: Sequence[str], at: datetime) -> bool:
        """Whether there is work; takes no lock."""
        with self._database.read() as reading:
            return jobs.is_any_due(reading, kinds, at)

    def take(self, kinds: Sequence[str], owner: str, lease_until: datetime) -> Job | None:
        """The next job that is due, now `owner`'s; None where there is none."""
        with self._database.write() as writing:
            taken = jobs.take(writing, kinds, owner=owner, lease_until=lease_until)
        if taken is not None:
            self._notify(taken)
        return taken

    def is_cancelled(self, taken: Job) -> bool | None:
        """Whether it is to be cancelled; None when it is another runner's."""
        with self._database.read() as reading:
            job = jobs.by_id(reading, taken.id)
        if job is None or job.state != "running" or job.owner != taken.owner:
            return None
        return job.cancel_requested

    def renew(self, taken: Job, lease_until: datetime) -> bool | None:
        """Renew the lease; returns as `is_cancelled`."""
        with self._database.write() as writing:
            return jobs.renew(writing, taken, lease_until)

    def progress(self, taken: Job, percent: int, message: str, detail: Mapping[str, Any]) -> bool:
        """Store how far it is; `detail`'s keys join those that are there."""
        return self._written(
            taken,
            lambda writing: jobs.progress(
                writing, taken, percent=percent, message=message, detail=dict(detail)
            ),
        )

    def finish(self, taken: Job, result: Any) -> bool:
        """It is done."""
        return self._written(taken, lambda writing: jobs.finish(writing, taken, result))

    def fail(self, taken: Job, error: str, retry_at: datetime | None) -> bool:
        """It went wrong: due again at `retry_at`; parked when that is None, or too often."""
        return self._written(
            taken, lambda writing: jobs.fail(writing, taken, error, retry_at=retry_at)
        )

    def cancelled(self, taken: Job) -> bool:
        """It has been stopped, as was asked."""
        return self._written(taken, lambda writing: jobs.cancelled(writing, taken))

    def give_back(self, taken: Job) -> bool:
        """Let another runner take it at once; the attempt does not count."""
        return self._written(taken, lambda writing: jobs.give_back(writing, taken))

    def notify(self, taken: Job) -> None:
        """Report a change that was committed together with other rows."""
        with self._database.read() as reading:
            job = jobs.by_id(reading, taken.id)
        if job is not None:
            self._notify(job)

    def _written(self, taken: Job, write: Callable[[Writing], bool]) -> bool:
        with self._database.write() as writing:
            is_ours = write(writing)
            job = jobs.by_id(writing, taken.id)
        if job is not None:
            self._notify(job)
        return is_ours
