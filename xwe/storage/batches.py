"""Deleting many rows in batches, so that other writers never wait long.

A single statement would block the other writers of a SQLite database until its end, and PostgreSQL
might never finish it: a statement that takes too long is rolled back, each time.
"""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, delete, select, tuple_

from xwe.storage.database import Database
from xwe.storage.units import Writing

# Takes some hundredths of a second, including the rows that refer to these.
BATCH_ROWS = 1000


class DeleteSome:
    """Deletes rows for which a condition holds, at most one batch."""

    def __init__(self, table: Table[Any], *where: ColumnElement[bool]) -> None:
        key = list(table.primary_key)
        batch = select(*key).where(*where).limit(bindparam("batch_rows"))
        self._statement = delete(table).where(tuple_(*key).in_(batch))

    def __call__(self, unit: Writing, **values: Any) -> int:
        """The number of deleted rows; 0 when none is left."""
        return unit.execute(self._statement, values | {"batch_rows": BATCH_ROWS}).rowcount


def always() -> bool:
    """The `goes_on` of callers that never stop early."""
    return True


def in_batches(
    database: Database,
    delete_some: Callable[[Writing], int],
    goes_on: Callable[[], bool] = always,
) -> int:
    """Call `delete_some`, in a transaction of its own each time, until it finds nothing.

    Returns:
        the number of deleted rows; not all of them if `goes_on` returned False.

    Raises:
        DatabaseUnavailableError: locked or unavailable; what was deleted stays deleted.
    """
    gone = 0
    while goes_on():
        begun = time.monotonic()
        with database.write() as writing:
            count = delete_some(writing)
        if count == 0:
            break
        gone += count
        # Half of the time is for others: a lock that is taken again at once goes to nobody
        # else, however long they have been waiting for it.
        time.sleep(time.monotonic() - begun)
    return gone
