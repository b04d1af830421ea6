"""Engines: how a connection to each of the two databases is made and set up."""

import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    exc,
    make_url,
)
from sqlalchemy.pool import QueuePool

from xwe.errors import SettingsError
from xwe.extras import importing
from xwe.storage.column_types import dump_json, load_json

_VARIABLE = "XWE_DATABASE_URL"
# The connection option that says which statement opens a transaction on SQLite.
BEGIN = "xwe_begin"

_PRIMARY = 0xFF  # the upper bits only add detail
_TRY_AGAIN_AFTER_S = 0.01


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """How much of the database one process uses.

    Attributes:
        pool_size: the most connections.
        timeout_s: the longest wait for each of: a free connection, a lock, a statement.
    """

    pool_size: int = 20
    timeout_s: float = 5.0


def parse_url(url: str) -> URL:
    """The address, with its driver.

    Raises:
        SettingsError: it is not the address of a database that xwe can use. The text is not
            repeated, since it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise SettingsError(_VARIABLE, "", "it is not an address") from None
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise SettingsError(_VARIABLE, parsed.drivername, "sqlite:/// or postgresql://")
    if parsed.database in {None, "", ":memory:"}:
        # Each connection would get a database of its own.
        raise SettingsError(_VARIABLE, url, "SQLite needs a file: sqlite:///path/to/xwe.db")
    return parsed


def make_engine(url: URL, limits: DatabaseLimits) -> Engine:
    """An engine without connections yet."""
    options: dict[str, Any] = {
        "poolclass": QueuePool,
        "pool_size": limits.pool_size,
        "max_overflow": 0,
        "pool_timeout": limits.timeout_s,
        # The connection used last has the warmest caches, and the others can go idle.
        "pool_use_lifo": True,
        "json_serializer": dump_json,
        "json_deserializer": load_json,
        # Values are people's messages and password hashes: they stay out of errors and logs.
        "hide_parameters": True,
    }
    if url.drivername == "sqlite":
        return _sqlite(url, limits, options)
    return _postgresql(url, limits, options)


def _sqlite(url: URL, limits: DatabaseLimits, options: dict[str, Any]) -> Engine:
    assert url.database is not None  # noqa: S101 - parse_url has seen to it
    path = Path(url.database)
    # Transactions are opened by us (below), not by the module's guess at each statement. A
    # connection goes from thread to thread through the pool, one at a time.
    arguments = {"timeout": limits.timeout_s, "isolation_level": None, "check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, **options)

    @event.listens_for(engine, "do_connect")
    def make_directory(*_: object) -> None:
        with suppress(OSError):  # SQLite says next that it cannot open the file
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def set_up(connection: SqliteConnection, _: object) -> None:
        # In this mode readers and the writer do not wait for each other. With NORMAL a commit
        # survives the death of the process; only a power cut can take the last ones back.
        _use_wal(connection, limits.timeout_s)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))

    return engine


def _use_wal(connection: SqliteConnection, timeout_s: float) -> None:
    """Switch a new file to this mode.

    When two processes do so at once, SQLite refuses one without a wait, whatever its timeout, since
    each holds what the other waits for.
    """
    ends_at = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > ends_at:
                raise
            time.sleep(_TRY_AGAIN_AFTER_S)
        else:
            return


def _postgresql(url: URL, limits: DatabaseLimits, options: dict[str, Any]) -> Engine:
    with importing("postgres"):
        from xwe.storage import postgresql  # noqa: PLC0415 - imports the driver
    milliseconds = int(limits.timeout_s * 1000)
    arguments = {
        # libpq takes whole seconds, and treats 1 as 2.
        "connect_timeout": max(2, round(limits.timeout_s * postgresql.CONNECT_SHARE)),
        # A peer that has vanished from the network is noticed as soon as one that is silent.
        "tcp_user_timeout": milliseconds,
        "options": f"-c timezone=UTC -c statement_timeout={milliseconds}"
        f" -c lock_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}",
    }
    # Each use first asks whether the connection still lives, so that a restart of the server
    # costs no request.
    engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, **options)

    @event.listens_for(engine, "do_connect")
    def connect(*given: Any) -> postgresql.BoundedConnection:
        return postgresql.connect(limits.timeout_s, **given[-1])

    @event.listens_for(engine, "handle_error")
    def keep_first_line(context: ExceptionContext) -> None:
        # The lines after it quote the row.
        for error in (context.original_exception, context.sqlalchemy_exception):
            if error is not None and error.args and isinstance(error.args[0], str):
                error.args = (error.args[0].partition("\n")[0], *error.args[1:])

    return engine
