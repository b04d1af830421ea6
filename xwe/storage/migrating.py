"""Migrations: the tables as this version of the code needs them.

::

    upgrade("sqlite:///instance/xwe.db")

Several processes may do this at once: one does the work in one transaction, the others wait and
find nothing left to do.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from xwe.storage.database import Database

# A step may rewrite a large table, possibly in another process.
TIMEOUT_S = 600.0

# An arbitrary number that nobody else uses: "xwe" and the year.
_LOCK = text("SELECT pg_advisory_xact_lock(7897452026)")

# Alembic keeps its context in a module, so only one can run at a time.
_alembic = threading.Lock()


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database up to `revision`, creating it first if needed.

    Raises:
        SettingsError: `url` is not an address of SQLite or PostgreSQL.
        DatabaseUnavailableError: it does not answer.
    """
    with _locked(url) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(url: str, revision: str) -> None:
    """Migrate the database down to `revision`; "base" drops all tables.

    Raises:
        SettingsError: `url` is not an address of SQLite or PostgreSQL.
        DatabaseUnavailableError: it does not answer.
    """
    with _locked(url) as connection:
        command.downgrade(_config(connection), revision)


def current(url: str) -> str | None:
    """The database's revision; None if it has no tables of ours.

    Raises:
        SettingsError: `url` is not an address of SQLite or PostgreSQL.
        DatabaseUnavailableError: it does not answer.
    """
    database = Database(url, pool_size=1)
    try:
        with database.read() as reading:
            return MigrationContext.configure(reading.connection).get_current_revision()
    finally:
        database.close()


def head() -> str:
    """The revision that this version of the code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - the package brings its steps along
    return revision


@contextmanager
def _locked(url: str) -> Iterator[Connection]:
    # On SQLite there is only one writer at a time anyway.
    database = Database(url, pool_size=1, timeout_s=TIMEOUT_S)
    try:
        with _alembic, database.write() as writing:
            if writing.dialect == "postgresql":
                writing.execute(_LOCK)
            yield writing.connection
    finally:
        database.close()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    # Otherwise Alembic guesses it from the platform, with a warning.
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
