"""Deleting for good, in as many short transactions as it takes: nobody else waits for long."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from xwe.storage.batches import always, in_batches
from xwe.storage.database import Database
from xwe.storage.repositories import purging, tokens, users
from xwe.storage.repositories.purging import Marked

# Little is left of each of them when it goes itself.
_AT_ONCE = 100


def clear_marked(
    database: Database,
    marked: Marked,
    before: datetime,
    goes_on: Callable[[], bool] = always,
) -> int:
    """Delete what was marked as deleted before then, with all that belongs to it.

    Args:
        database: where it is.
        marked: of which kind.
        before: when.
        goes_on: whether to; asked between two transactions. The next call takes up the rest.

    Returns:
        how many of the kind are gone.

    Raises:
        DatabaseUnavailableError: locked or away; the next call takes up the rest.
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

    Nobody can sign in with it from the beginning. Its name is free when all is gone.

    Raises:
        NotFoundError: there is no such account.
        DatabaseUnavailableError: locked or away; the next call takes up the rest.
    """
    with database.write() as writing:
        users.set_password(writing, user_id, "")  # no password has this hash
        tokens.remove_all(writing, user_id)
    in_batches(database, partial(purging.delete_some_of_user, user_id=user_id))
    with database.write() as writing:
        users.remove(writing, user_id)
