"""All users' jobs, for the operator."""

from typing import cast

from xwe.errors import ConflictError, NotFoundError
from xwe.storage.database import Database
from xwe.storage.records import Job, JobState
from xwe.storage.repositories import jobs
from xwe.storage.units import Writing


class JobControl:
    """What an operator does with jobs, whose ever they are."""

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
            return retry_of(writing, _user_of(writing, job_id), job_id)

    def cancel(self, job_id: int) -> Job:
        """End a job at once while it waits, else have its runner do so.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._database.write() as writing:
            return jobs.request_cancel(writing, _user_of(writing, job_id), job_id)


def retry_of(writing: Writing, user_id: int, job_id: int) -> Job:
    """Queue the user's failed or cancelled job anew; what it has noted stays.

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
