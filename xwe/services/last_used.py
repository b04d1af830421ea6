"""When sessions and tokens were last used: worth recording, not worth waiting for."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from xwe.errors import DatabaseUnavailableError
from xwe.storage.database import Database
from xwe.storage.records import Holder
from xwe.storage.units import Writing

# A row is written again after this long, not at each request.
NOTED_EVERY = timedelta(minutes=5)

# Other writers take a millisecond or two; a longer wait is a wait for a lock.
PATIENCE_S = 0.05
# After such a wait nothing is recorded for a while, so that no other request waits for it.
PAUSE_S = 60.0


class LastUsed:
    """Records uses, at most every few minutes. Thread-safe.

    Args:
        database: where the rows are.
        clock: seconds, monotonic.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._not_before = -PAUSE_S

    def note(self, found: Holder, touch: Callable[[Writing, int], None]) -> None:
        """Have `touch` record the use, if the last record is old.

        A failure is ignored: requests that only read are served while nothing can be written.
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
