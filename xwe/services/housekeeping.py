"""Deleting for good what nobody can ask for any more.

Every process does it; what one has deleted is not there for the next.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from xwe.errors import XweError
from xwe.services.accounts import SESSION_LASTS
from xwe.services.clearing import clear_marked
from xwe.services.periodic import Look, Periodic
from xwe.storage.batches import in_batches
from xwe.storage.database import Database
from xwe.storage.database_threads import in_database
from xwe.storage.repositories import generations, jobs, purging, sessions
from xwe.storage.repositories.purging import Marked
from xwe.storage.rows import now
from xwe.storage.units import Writing

log = logging.getLogger(__name__)

PERIOD_S = 3600.0

# How an answer was made is worth knowing for as long as somebody may ask what went wrong.
GENERATIONS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Tidied:
    """How many of each are gone; None where that failed, as the log says."""

    characters: int | None
    generations: int | None
    jobs: int | None
    sessions: int | None


class Housekeeping:
    """Tidies up the database every hour.

    Args:
        database: what is tidied up.
        keep_deleted: how long what a user has deleted can be had back, and how long jobs that have
            ended are listed. Jobs that gave up stay until they are tried again.
    """

    def __init__(self, database: Database, keep_deleted: timedelta) -> None:
        self._database = database
        self._keep_deleted = keep_deleted
        self._periodic = Periodic([Look("what is kept", PERIOD_S, self._look)])
        self._is_closed = False

    def start(self) -> None:
        """Begin, in this process. Idempotent."""
        self._periodic.start()

    def close(self) -> None:
        """Tidy up no more; what is left is the next process's. Idempotent."""
        self._is_closed = True
        self._periodic.close()

    def tidy(self) -> Tidied:
        """Delete what is too old to be asked for."""
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

    async def _look(self) -> None:
        tidied = await in_database(self.tidy)
        gone = {kind: count for kind, count in asdict(tidied).items() if count}
        if gone:
            log.info("Deleted for good: %s", gone)


def _counted(kind: str, step: Callable[[], int]) -> int | None:
    """How many are gone, None where it failed: the other steps have nothing to do with it."""
    try:
        return step()
    except XweError as error:
        log.warning("The old %s could not be deleted now: %s", kind, error)
    except Exception:
        # Whatever it is, the other kinds need not stay for it.
        log.exception("The old %s could not be deleted", kind)
    return None
