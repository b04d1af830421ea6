"""Two transactions that meet on PostgreSQL: the one waits for what the other has locked."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

SOON_S = 60.0
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@contextlib.contextmanager
def meeting(url, holder, second):
    """A unit that holds something, and in a thread `second()`, which has to wait for it.

    Gives the unit, the future of `second()`, and a function that begins it and returns once it
    waits; it fails when `second()` comes through without waiting.

    ::

        with meeting(url, database.write(), act) as (writing, second, waits):
            users.take_turn(writing, ada)
            waits()
        second.result()
    """
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as looker:
        begin = threading.Event()
        future = pool.submit(lambda: (begin.wait(), second())[1])

        def waits():
            begin.set()
            ends_at = time.monotonic() + SOON_S
            while looker.execute(_WAITING).fetchone() == (0,):
                assert not future.done(), "it did not wait"
                assert time.monotonic() < ends_at
                threading.Event().wait(0.01)  # the server tells nobody

        try:
            with holder as writing:
                yield writing, future, waits
        finally:
            begin.set()
