"""The rows of jobs as a runner uses them: each change is a transaction, then a notification."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from xwe.storage.database import Database
from xwe.storage.records import Job
from xwe.storage.repositories import jobs
from xwe.storage.units import Writing


class JobRows:
    """Every method blocks. Writing to a job that another runner has taken changes nothing.

    The methods that return a bool return whether the job was still ours.

    Args:
        database: stores the rows.
        notify: called with each changed job, after the commit.
    """

    def __init__(self, database: Database, notify: Callable[[Job], object]) -> None:
        self._database = database
        self._notify = notify

    def is_any_due(self, kinds: Sequence[str], at: datetime) -> bool:
        """Whether a job is due; takes no lock."""
        with self._database.read() as reading:
            return jobs.is_any_due(reading, kinds, at)

    def take(self, kinds: Sequence[str], owner: str, lease_until: datetime) -> Job | None:
        """Take the next due job for `owner`; None if none is due."""
        with self._database.write() as writing:
            taken = jobs.take(writing, kinds, owner=owner, lease_until=lease_until)
        if taken is not None:
            self._notify(taken)
        return taken

    def is_cancelled(self, taken: Job) -> bool | None:
        """Whether its user has cancelled it; None if it is not ours any more."""
        with self._database.read() as reading:
            job = jobs.by_id(reading, taken.id)
        if job is None or job.state != "running" or job.owner != taken.owner:
            return None
        return job.cancel_requested

    def renew(self, taken: Job, lease_until: datetime) -> bool | None:
        """Renew the lease; returns what `is_cancelled` does."""
        with self._database.write() as writing:
            return jobs.renew(writing, taken, lease_until)

    def progress(self, taken: Job, percent: int, message: str, detail: Mapping[str, Any]) -> bool:
        """Store its progress; `detail` is merged into the stored one, key by key."""
        return self._written(
            taken,
            lambda writing: jobs.progress(
                writing, taken, percent=percent, message=message, detail=dict(detail)
            ),
        )

    def finish(self, taken: Job, result: Any) -> bool:
        """End it as done."""
        return self._written(taken, lambda writing: jobs.finish(writing, taken, result))

    def fail(self, taken: Job, error: str, retry_at: datetime | None) -> bool:
        """Queue it again for `retry_at`; park it if that is None or this was the last attempt."""
        return self._written(
            taken, lambda writing: jobs.fail(writing, taken, error, retry_at=retry_at)
        )

    def cancelled(self, taken: Job) -> bool:
        """End it as cancelled."""
        return self._written(taken, lambda writing: jobs.cancelled(writing, taken))

    def give_back(self, taken: Job) -> bool:
        """Return it to the queue, due at once; the attempt does not count."""
        return self._written(taken, lambda writing: jobs.give_back(writing, taken))

    def notify(self, taken: Job) -> None:
        """Notify of a change that was committed in somebody else's transaction."""
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
