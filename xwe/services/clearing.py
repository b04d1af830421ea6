"""Permanent deletion in many short transactions, so that other writers never wait long."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from xwe.storage.batches import always, in_batches
from xwe.storage.database import Database
from xwe.storage.repositories import purging, tokens, users
from xwe.storage.repositories.purging import Marked

# By then little is left that belongs to each of them.
_AT_ONCE = 100


def clear_marked(
    database: Database,
    marked: Marked,
    before: datetime,
    goes_on: Callable[[], bool] = always,
) -> int:
    """Delete rows that were marked as deleted before a time, with all that belongs to them.

    Args:
        database: the database.
        marked: the kind of rows.
        before: the time.
        goes_on: asked between two transactions; False leaves the rest to the next call.

    Returns:
        the number of rows of that kind that were deleted.

    Raises:
        DatabaseUnavailableError: locked or unavailable; the next call does the rest.
    """
    with database.read() as reading:
        old = marked.old(reading, before)
    gone = 0
    for start in range(0, len(old), _AT_ONCE):
        with database.write() as writing:
            ids = marked.condemn(writing, old[start : start + _AT_ONCE], before)
        in_batches(database, partial(marked.delete_some, ids=ids), goes_on)
        if not goes_on():
            break
        with database.write() as writing:
            gone += marked.delete(writing, ids)
    return gone


def clear_user(database: Database, user_id: int) -> None:
    """Delete an account with all that belongs to it.

    Signing in fails at once; the name is free once everything is deleted.

    Raises:
        NotFoundError: there is no such account.
        DatabaseUnavailableError: locked or unavailable; the next call does the rest.
    """
    with database.write() as writing:
        users.set_password(writing, user_id, "")  # no password has this hash
        tokens.remove_all(writing, user_id)
    in_batches(database, partial(purging.delete_some_of_user, user_id=user_id))
    with database.write() as writing:
        users.remove(writing, user_id)
