"""Permanently deletes rows that nobody can reach any more.

Every process does this; what one has deleted, the next does not find.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from xwe.errors import XweError
from xwe.services.accounts import SESSION_LASTS
from xwe.services.clearing import clear_marked
from xwe.services.periodic import Check, Periodic
from xwe.storage.batches import in_batches
from xwe.storage.database import Database
from xwe.storage.database_threads import in_database
from xwe.storage.repositories import generations, jobs, purging, sessions
from xwe.storage.repositories.purging import Marked
from xwe.storage.rows import now
from xwe.storage.units import Writing

log = logging.getLogger(__name__)

PERIOD_S = 3600.0

# Long enough to find out what went wrong with an answer.
GENERATIONS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Tidied:
    """The number of rows deleted of each kind; None where that failed, which the log explains."""

    characters: int | None
    generations: int | None
    jobs: int | None
    sessions: int | None


class Housekeeping:
    """Tidies up the database every hour.

    Args:
        database: the database.
        keep_deleted: how long a deleted character can be restored, and ended jobs are listed.
            Parked jobs stay until they are retried.
    """

    def __init__(self, database: Database, keep_deleted: timedelta) -> None:
        self._database = database
        self._keep_deleted = keep_deleted
        self._periodic = Periodic([Check("what is kept", PERIOD_S, self._check)])
        self._is_closed = False

    def start(self) -> None:
        """Start, in this process. Idempotent."""
        self._periodic.start()

    def close(self) -> None:
        """Stop; the next process does the rest. Idempotent."""
        self._is_closed = True
        self._periodic.close()

    def tidy(self) -> Tidied:
        """Delete everything that is old enough."""
        at = now()
        deleted_before = at - self._keep_deleted
        steps: Mapping[str, Callable[[], int]] = {
            "characters": partial(self._clear, purging.CHARACTERS, deleted_before),
            "generations": partial(self._forget, generations.purge, at - GENERATIONS_KEPT),
            "jobs": partial(self._forget, jobs.purge, deleted_before),
            "sessions": partial(self._forget, sessions.purge, at - SESSION_LASTS),
        }
        return Tidied(**{kind: _counted(kind, step) for kind, step in steps.items()})

    def _clear(self, marked: Marked, before: datetime) -> int:
        return clear_marked(self._database, marked, before, self._goes_on)

    def _forget(self, purge: Callable[[Writing, datetime], int], before: datetime) -> int:
        return in_batches(self._database, lambda writing: purge(writing, before), self._goes_on)

    def _goes_on(self) -> bool:
        return not self._is_closed

    async def _check(self) -> None:
        tidied = await in_database(self.tidy)
        gone = {kind: count for kind, count in asdict(tidied).items() if count}
        if gone:
            log.info("Permanently deleted: %s", gone)


def _counted(kind: str, step: Callable[[], int]) -> int | None:
    """The number of rows deleted; None if the step failed, which does not stop the others."""
    try:
        return step()
    except XweError as error:
        log.warning("The old %s could not be deleted now: %s", kind, error)
    except Exception:
        # Any error: the other kinds can be deleted all the same.
        log.exception("The old %s could not be deleted", kind)
    return None
