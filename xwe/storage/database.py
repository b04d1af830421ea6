"""The database: units of work for reading and for writing, on SQLite or PostgreSQL."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from weakref import WeakSet

from sqlalchemy import Connection, Engine, QueuePool, exc, text
from sqlalchemy.engine import RootTransaction

from xwe.errors import ClosedError, LoopDeadlockError
from xwe.storage.engines import BEGIN, DatabaseLimits, make_engine, parse_url
from xwe.storage.mapping import mapped, unavailable
from xwe.storage.units import Reading, Writing

# Connections that came from a parent process. They must stay untouched here: closing one would
# end the parent's session, and dropping the last reference closes it.
_inherited: list["_Opened"] = []

# A shorter wait is not worth a statement that sets the remaining time.
_NOTICEABLE_S = 0.1
_BUSY_TIMEOUT = "PRAGMA busy_timeout = {}"
_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :value, true)")

_opening = threading.Lock()
_opened_here: WeakSet["_Opened"] = WeakSet()


def _close_files() -> None:
    # SQLite keeps its locks in the process's memory. A child that inherits them takes its parent's
    # for its own, and one of the two then overwrites what the other has written.
    with _opening:
        for opened in _opened_here:
            if opened.is_sqlite and opened.pid == os.getpid():
                opened.used_while_forking = opened.units > 0
                opened.engine.dispose()


def _renew_lock() -> None:
    # In the parent another thread may have held it, which does not exist here.
    global _opening  # noqa: PLW0603 - a lock that was held across a fork can only be replaced
    _opening = threading.Lock()


os.register_at_fork(before=_close_files, after_in_child=_renew_lock)


class _Opened:
    """What one process has open. Locks and connections do not survive a fork."""

    def __init__(self, engine: Engine, timeout_s: float) -> None:
        self.pid = os.getpid()
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.timeout_s = timeout_s
        if self.is_sqlite:
            self.writer: Engine = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
            self.reader: Engine = engine
        else:
            self.writer = engine
            self.reader = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        self.turn = threading.Lock()
        self.open_in = threading.local()
        self.used_while_forking = False
        _opened_here.add(self)

    @property
    def units(self) -> int:
        """The number of units that hold a connection."""
        return cast("QueuePool", self.engine.pool).checkedout()

    @contextmanager
    def writing(self, patience_s: float) -> Iterator[Connection]:
        """A transaction that writes; on SQLite, writers of this process take turns.

        SQLite itself sleeps and tries again, so writers of one process would wait many times
        longer than the work takes.
        """
        if not self.is_sqlite:
            with self.writer.begin() as connection:
                if patience_s < self.timeout_s:
                    milliseconds = max(1, round(patience_s * 1000))  # 0 would mean for ever
                    connection.execute(_LOCK_TIMEOUT, {"value": f"{milliseconds}ms"})
                yield connection
            return
        gives_up_at = time.monotonic() + patience_s
        if not self.turn.acquire(timeout=patience_s):
            raise unavailable("The database is busy; try again shortly.")
        # First the turn, then the connection, so that waiting threads hold none.
        try:
            with (
                self.writer.connect() as connection,
                self._begun(connection, gives_up_at - time.monotonic()),
            ):
                yield connection
        finally:
            self.turn.release()

    def _begun(self, connection: Connection, left_s: float) -> RootTransaction:
        if self.timeout_s - left_s < _NOTICEABLE_S:
            return connection.begin()
        # What is left of the time, since another process may hold the lock too.
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - it is open
        driver.execute(_BUSY_TIMEOUT.format(max(0, round(left_s * 1000))))
        try:
            return connection.begin()
        finally:
            driver.execute(_BUSY_TIMEOUT.format(round(self.timeout_s * 1000)))


class Database:
    """One database, for all threads of the process, and for each process after a fork.

    Nothing is opened before the first use. A unit is short: it never spans a model call, a wait
    or another unit of the same thread. It blocks, so it has no place on the event loop. On SQLite
    a process must not fork while one of its units is open: the child could not use the database,
    and gets an error.

    ::

        with database.write() as writing:
            user_id = users.create(writing, username="ada", password_hash=hashed)
        with database.read() as reading:
            ada = users.by_id(reading, user_id)
    """

    def __init__(self, url: str, *, pool_size: int = 20, timeout_s: float = 5.0) -> None:
        """See `DatabaseLimits` for the bounds.

        Raises:
            SettingsError: `url` is not an address of SQLite or PostgreSQL.
        """
        self._url = parse_url(url)
        self._limits = DatabaseLimits(pool_size, timeout_s)
        self._opened: _Opened | None = None
        self._closed_by: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url.render_as_string()!r})"

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """Open a unit that reads.

        Raises:
            DatabaseUnavailableError: locked, unavailable, or no free connection for `timeout_s`.
            InvalidRequestError: a value does not fit the database's types.
        """
        opened = self._current()
        with _unit(opened), opened.reader.connect() as connection, connection.begin():
            yield Reading(connection)

    @contextmanager
    def write(self, *, patience_s: float | None = None) -> Iterator[Writing]:
        """Open a unit that writes: committed at the end, rolled back when an error leaves it.

        Args:
            patience_s: how long to wait for other writers; at most `timeout_s`, which is the
                default.

        Raises:
            DatabaseUnavailableError: locked, unavailable, or no free connection for `timeout_s`.
            ConflictError: a constraint does not allow the change.
            InvalidRequestError: a value cannot be stored.
        """
        opened = self._current()
        if patience_s is None:
            patience_s = opened.timeout_s
        with _unit(opened), opened.writing(patience_s) as connection:
            writing = Writing(connection)
            yield writing
        for act in writing.after_commits:
            act()

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            DatabaseUnavailableError: it does not.
        """
        with self.read() as reading:
            reading.execute(_SIGN_OF_LIFE)

    def close(self) -> None:
        """Close idle connections; others close when their unit ends. Idempotent."""
        with _opening:
            self._closed_by = os.getpid()
            opened, self._opened = self._opened, None
        if opened is None:
            return
        if opened.pid == os.getpid():
            opened.engine.dispose()
        else:
            _inherited.append(opened)

    def _current(self) -> _Opened:
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            opened = self._open()
        if getattr(opened.open_in, "unit", None):
            raise LoopDeadlockError("A unit of work was opened inside another.")
        return opened

    def _open(self) -> _Opened:
        with _opening:
            if self._closed_by == os.getpid():
                raise ClosedError("The database has been closed.")
            if self._opened is not None and self._opened.pid != os.getpid():
                if self._opened.used_while_forking:
                    raise ClosedError("The process forked while SQLite was in use: fork earlier.")
                _inherited.append(self._opened)
                self._opened = None
            if self._opened is None:
                engine = make_engine(self._url, self._limits)
                self._opened = _Opened(engine, self._limits.timeout_s)
            return self._opened


_SIGN_OF_LIFE = text("SELECT 1")


@contextmanager
def _unit(opened: _Opened) -> Iterator[None]:
    """Mark the thread as inside a unit, and map the library's errors."""
    opened.open_in.unit = True
    try:
        yield
    except exc.SQLAlchemyError as error:
        ours = mapped(error)
        if ours is None:
            raise
        raise ours from error
    finally:
        opened.open_in.unit = False
