"""Deleting many rows: a batch at a time, so that nobody else waits long for any of them.

One statement over all of them would keep the other writers of a SQLite database waiting until its
end, and PostgreSQL might never come to it: a statement that takes too long is undone, each time.
"""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, delete, select, tuple_

from xwe.storage.database import Database
from xwe.storage.units import Writing

# Some hundredths of a second, also with all that refers to the rows.
BATCH_ROWS = 1000


class DeleteSome:
    """Deletes the rows that a condition holds for, a batch of them at most."""

    def __init__(self, table: Table[Any], *where: ColumnElement[bool]) -> None:
        key = list(table.primary_key)
        batch = select(*key).where(*where).limit(bindparam("batch_rows"))
        self._statement = delete(table).where(tuple_(*key).in_(batch))

    def __call__(self, unit: Writing, **values: Any) -> int:
        """How many there were; 0 when none is left."""
        return unit.execute(self._statement, values | {"batch_rows": BATCH_ROWS}).rowcount


def always() -> bool:
    """The answer of whoever need not end before the work is done."""
    return True


def in_batches(
    database: Database,
    delete_some: Callable[[Writing], int],
    goes_on: Callable[[], bool] = always,
) -> int:
    """Call `delete_some`, in a transaction of its own each time, until it finds nothing.

    Returns:
        how many rows it were; less than all of them where `goes_on` has said no.

    Raises:
        DatabaseUnavailableError: locked or away; what is gone until then stays so.
    """
    gone = 0
    while goes_on():
        begun = time.monotonic()
        with database.write() as writing:
            count = delete_some(writing)
        if count == 0:
            break
        gone += count
        # Half of the time is for others: a lock that is taken again at once is taken by nobody
        # else, however long they have been waiting for it.
        time.sleep(time.monotonic() - begun)
    return gone
