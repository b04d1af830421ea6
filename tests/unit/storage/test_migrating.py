"""Migrations: the same tables as the models say, made once however many start."""

import contextlib
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from click.testing import CliRunner
from postgresql import SQLITE_AND_POSTGRESQL, new_database
from sqlalchemy import text

from xwe.cli.commands import xwe_command
from xwe.errors import DatabaseUnavailableError
from xwe.storage import migrating
from xwe.storage.database import Database
from xwe.storage.models import metadata

PROCESSES = 4


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def empty_url(request, tmp_path):
    """The address of a database without tables."""
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path}/instance/xwe.db"
        else:
            yield stack.enter_context(new_database())


def tables(url):
    with contextlib.closing(Database(url, timeout_s=60)) as database, database.read() as reading:
        context = MigrationContext.configure(reading.connection, opts={"compare_type": True})
        return compare_metadata(context, metadata)


def test_migrations_make_what_the_models_say(empty_url):
    migrating.upgrade(empty_url)
    assert tables(empty_url) == []
    assert migrating.current(empty_url) == migrating.head()


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(empty_url):
    migrating.upgrade(empty_url)
    with contextlib.closing(Database(empty_url)) as database, database.write() as writing:
        writing.execute(
            text(
                'INSERT INTO "user" (username, password_hash, is_admin, session_version, '
                "settings, created_at) VALUES ('ada', 'h', false, 1, '{}', '2026-01-01 00:00:00')"
            )
        )
    migrating.upgrade(empty_url)
    with contextlib.closing(Database(empty_url)) as database, database.read() as reading:
        assert reading.execute(text('SELECT username FROM "user"')).scalar_one() == "ada"


def test_every_step_can_be_undone(empty_url):
    migrating.upgrade(empty_url)
    migrating.downgrade(empty_url, "base")
    assert migrating.current(empty_url) is None
    migrating.upgrade(empty_url)
    assert tables(empty_url) == []


def test_processes_that_start_at_once_make_the_tables_once(empty_url):
    code = (
        "import sys; from xwe.storage import migrating\n"
        "sys.stdin.readline()\n"  # so that they all begin together
        "migrating.upgrade(sys.argv[1])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert tables(empty_url) == []


def test_a_step_that_fails_leaves_nothing_behind(empty_url, monkeypatch):
    def break_off(*_, **options):
        raise ZeroDivisionError

    monkeypatch.setattr(Operations, "create_index", break_off)
    with pytest.raises(ZeroDivisionError):
        migrating.upgrade(empty_url)
    monkeypatch.undo()
    assert migrating.current(empty_url) is None
    migrating.upgrade(empty_url)
    assert tables(empty_url) == []


def test_a_database_that_is_away_is_an_error(tmp_path):
    with pytest.raises(DatabaseUnavailableError):
        migrating.upgrade("postgresql://postgres@127.0.0.1:9/xwe")


def test_the_command_makes_the_tables_and_says_where_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needed = migrating.head()
    assert CliRunner().invoke(xwe_command, ["db", "current"]).stdout == f"at none, needs {needed}\n"
    assert CliRunner().invoke(xwe_command, ["db", "upgrade"]).exit_code == 0
    assert (
        CliRunner().invoke(xwe_command, ["db", "current"]).stdout
        == f"at {needed}, needs {needed}\n"
    )
    assert (tmp_path / "instance" / "xwe.db").exists()


@pytest.mark.parametrize("command", ["upgrade", "current", "tidy"])
def test_the_command_says_in_one_line_that_the_database_is_away(monkeypatch, command):
    monkeypatch.setenv("XWE_DATABASE_URL", "postgresql://postgres:canary@127.0.0.1:9/xwe")
    result = CliRunner().invoke(xwe_command, ["db", command])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "refused" in result.stderr
    assert "canary" not in result.stderr
