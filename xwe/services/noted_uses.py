"""When sessions and tokens were used last: worth knowing, and not worth waiting for."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from xwe.errors import DatabaseUnavailableError
from xwe.storage.database import Database
from xwe.storage.records import Holder
from xwe.storage.units import Writing

# A row is written again after this long, not at each request.
NOTED_EVERY = timedelta(minutes=5)

# Others write for a millisecond or two; who waits longer than this waits for a lock.
PATIENCE_S = 0.05
# Then nobody else need wait for it either, for a while.
PAUSE_S = 60.0


class NotedUses:
    """Notes uses, once in a while. Thread-safe.

    Args:
        database: where the rows are.
        clock: seconds, monotonic.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._not_before = -PAUSE_S

    def note(self, found: Holder, touch: Callable[[Writing, int], None]) -> None:
        """Have `touch` note that it is in use, if that was long ago.

        Who only reads is served while nothing can be written; it is noted another time.
        """
        if not _is_long_ago(found.seen_at) or self._clock() < self._not_before:
            return
        try:
            with self._database.write(patience_s=PATIENCE_S) as writing:
                touch(writing, found.id)
        except DatabaseUnavailableError:
            self._not_before = self._clock() + PAUSE_S


def _is_long_ago(seen_at: datetime | None) -> bool:
    return seen_at is None or datetime.now(UTC) - seen_at > NOTED_EVERY
