"""`xwe db`: create, update and clean up the database's tables."""

import sys
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from typing import NoReturn

import click

from xwe.errors import DatabaseUnavailableError
from xwe.services.housekeeping import Housekeeping
from xwe.settings import load_settings
from xwe.settings.env_file import read_env_file
from xwe.storage import migrating
from xwe.storage.database import Database

_EXIT_UNAVAILABLE = 1


@click.group("db")
def db_command() -> None:
    """Create or update the tables of the database at XWE_DATABASE_URL."""


@db_command.command("upgrade")
def upgrade_command() -> None:
    """Update the tables for this version of xwe. Can be repeated, also by several at once."""
    url = _database_url()
    try:
        migrating.upgrade(url)
    except DatabaseUnavailableError as error:
        _give_up(error)
    click.echo(f"The database is at revision {migrating.head()}.")


@db_command.command("current")
def current_command() -> None:
    """Show the tables' revision, and the one that this version of xwe needs."""
    try:
        revision = migrating.current(_database_url())
    except DatabaseUnavailableError as error:
        _give_up(error)
    click.echo(f"at {revision or 'none'}, needs {migrating.head()}")


@db_command.command("tidy")
def tidy_command() -> None:
    """Permanently delete rows that nobody can reach any more; the server does so every hour."""
    url = _database_url()
    keep_deleted = timedelta(days=load_settings().storage.keep_deleted_days)
    try:
        if migrating.current(url) != migrating.head():
            click.echo("xwe: the tables belong to another version; run `xwe db upgrade`", err=True)
            sys.exit(_EXIT_UNAVAILABLE)
        with closing(Database(url)) as database:
            tidied = Housekeeping(database, keep_deleted).tidy()
    except DatabaseUnavailableError as error:
        _give_up(error)
    for kind, count in asdict(tidied).items():
        click.echo(f"{kind}: " + ("failed" if count is None else f"{count} permanently deleted"))
    if None in asdict(tidied).values():
        sys.exit(_EXIT_UNAVAILABLE)


def _database_url() -> str:
    read_env_file()
    return load_settings().storage.database_url


def _give_up(error: DatabaseUnavailableError) -> NoReturn:
    cause = error.__cause__ and error.__cause__.__cause__
    reason = f" ({str(cause).partition(chr(10))[0]})" if cause else ""
    click.echo(f"xwe: {error.message}{reason}", err=True)
    sys.exit(_EXIT_UNAVAILABLE)
