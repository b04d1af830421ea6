"""Units of work: kept or undone, bounded, one for each process, and errors by their cause."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import exc, text

from xwe.errors import (
    ClosedError,
    ConflictError,
    DatabaseUnavailableError,
    LoopDeadlockError,
    SettingsError,
)
from xwe.storage import database as database_module
from xwe.storage.database import Database
from xwe.storage.models import user
from xwe.storage.repositories import messages, users

SOON_S = 60.0


def create(writing, name):
    return users.create(writing, username=name, password_hash="canary-hash")


def names(database):
    with database.read() as reading:
        return [found.username for found in users.listed(reading)]


def fail_after(database, name):
    with database.write() as writing:
        create(writing, name)
        raise ZeroDivisionError


def test_a_unit_that_fails_changes_nothing(database):
    with pytest.raises(ZeroDivisionError):
        fail_after(database, "ada")
    assert names(database) == []


def test_what_waits_for_the_commit_runs_after_it_and_only_then(database):
    seen = []
    with database.write() as writing:
        create(writing, "ada")
        writing.after_commit(lambda: seen.append(names(database)))
        assert seen == []
    assert seen == [["ada"]]

    def undone():
        with database.write() as writing:
            writing.after_commit(lambda: seen.append("never"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert seen == [["ada"]]


@pytest.mark.parametrize("outer", ["read", "write"])
@pytest.mark.parametrize("inner", ["read", "write"])
def test_a_unit_inside_another_is_refused_before_it_waits_for_itself(database, outer, inner):
    with getattr(database, outer)(), pytest.raises(LoopDeadlockError):
        getattr(database, inner)().__enter__()
    assert names(database) == []


def test_readers_see_one_state_and_do_not_wait_for_a_writer(database):
    with database.write() as writing:
        create(writing, "ada")
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(names, database).result(SOON_S) == []

    def read_twice(reached, go_on):
        with database.read() as reading:
            first = users.listed(reading)
            reached.set()
            assert go_on.wait(SOON_S)
            return len(first), len(users.listed(reading))

    reached, go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read_twice, reached, go_on)
        assert reached.wait(SOON_S)
        with database.write() as writing:
            create(writing, "bob")
        go_on.set()
        assert reader.result(SOON_S) == (1, 1)


def test_all_connections_taken_is_an_error_in_bounded_time(open_database, monkeypatch):
    database = open_database(pool_size=1, timeout_s=50)
    database.ping()
    pool = database._opened.engine.pool
    assert pool.timeout() == 50
    # This wait alone: a server on a busy machine may need longer for the rest.
    monkeypatch.setattr(pool, "_timeout", 0.2)
    with database.read(), ThreadPoolExecutor(1) as pool:
        refused = pool.submit(database.ping).exception(SOON_S)
    assert isinstance(refused, DatabaseUnavailableError)
    assert refused.retryable
    assert refused.retry_after_s
    database.ping()


def test_who_has_no_patience_waits_for_no_other_writer(open_database, ada):
    """Longer than this test waits otherwise, for a writer of this process or another's."""
    database, other = open_database(timeout_s=100), open_database(timeout_s=100)

    def refused():
        with pytest.raises(DatabaseUnavailableError), database.write(patience_s=0.05) as writing:
            users.bump_session_version(writing, ada.id)

    with ThreadPoolExecutor(1) as pool:
        for writer in (database, other):
            with writer.write() as writing:
                users.bump_session_version(writing, ada.id)
                pool.submit(refused).result(SOON_S)
    with database.write(patience_s=0.05) as writing:
        users.bump_session_version(writing, ada.id)
    with database.read() as reading:
        assert users.by_id(reading, ada.id).session_version == ada.session_version + 3


def test_a_clash_that_no_repository_names_is_a_conflict(database, chat):
    def point_nowhere():
        with database.write() as writing:
            messages.append(
                writing, chat.id, sender_type="user", content="x", generation_id="no such"
            )

    with pytest.raises(ConflictError):
        point_nowhere()


def test_a_mistake_of_our_own_is_not_dressed_up(database):
    with pytest.raises(exc.DBAPIError), database.read() as reading:
        reading.execute(text("SELECT nothing FROM nowhere"))
    database.ping()


def test_an_error_names_no_values(database, ada):
    row = {"id": ada.id, "username": "canary-name", "password_hash": None}
    with pytest.raises(exc.IntegrityError) as caught, database.write() as writing:
        writing.execute(user.insert(), row)
    shown = str(caught.value)
    assert "password_hash" in shown
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_closed_database_stays_closed(database):
    database.ping()
    database.close()
    database.close()
    with pytest.raises(ClosedError):
        database.ping()


def test_nothing_is_opened_before_the_first_use(tmp_path):
    path = tmp_path / "deep" / "xwe.db"
    database = Database(f"sqlite:///{path}")
    assert not path.parent.exists()
    database.close()
    assert not path.parent.exists()


def test_the_files_directory_is_the_owners_alone(tmp_path):
    path = tmp_path / "instance" / "xwe.db"
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        database.ping()
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_used_is_an_unavailable_database(tmp_path):
    (tmp_path / "file").touch()
    with (
        contextlib.closing(Database(f"sqlite:///{tmp_path}/file/xwe.db")) as database,
        pytest.raises(DatabaseUnavailableError),
    ):
        database.ping()


@pytest.mark.parametrize(
    "url",
    ["mysql://u:canary@h/db", "sqlite://", "sqlite:///:memory:", "postgresql://u:canary@h:x/d", ""],
)
def test_an_address_that_cannot_be_used_is_refused_at_once_and_not_repeated(url):
    with pytest.raises(SettingsError) as caught:
        Database(url)
    assert caught.value.variable == "XWE_DATABASE_URL"
    assert "canary" not in str(caught.value)


def test_a_database_does_not_show_its_password():
    assert "canary" not in repr(Database("postgresql://u:canary@127.0.0.1/db"))


def session(database):
    """What names the connection on the server's side; SQLite has no such side."""
    with database.read() as reading:
        if reading.dialect == "sqlite":
            return os.getpid()
        return reading.execute(text("SELECT pg_backend_pid()")).scalar_one()


def in_a_child(act):
    """The exit status of a child process that does `act`; 0 when it returns True."""
    child = os.fork()
    if child:
        return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 2
    try:
        status = 0 if act() else 1
    finally:
        os._exit(status)


def test_a_child_process_opens_its_own_and_leaves_the_parents_alone(database, ada):
    def as_a_child():
        with database.write() as writing:
            create(writing, "child")
        is_own = session(database) != parents
        database.close()
        return is_own

    parents = session(database)
    assert in_a_child(as_a_child)() == 0
    with database.write() as writing:
        create(writing, "parent")
    assert names(database) == ["ada", "child", "parent"]


def test_a_fork_while_another_thread_writes_harms_nobody(database, ada):
    writing_now, forked = threading.Event(), threading.Event()
    told, tell = os.pipe()

    def write():
        with database.write() as writing:
            create(writing, "thread")
            writing_now.set()
            assert forked.wait(SOON_S)

    def as_a_child():
        os.read(told, 1)
        if is_sqlite:
            with pytest.raises(ClosedError):
                database.ping()
        else:
            assert names(database) == ["ada", "thread"]
        return True

    with database.read() as reading:
        is_sqlite = reading.dialect == "sqlite"
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        assert writing_now.wait(SOON_S)
        status = in_a_child(as_a_child)
        forked.set()
        writer.result(SOON_S)
    os.write(tell, b"!")
    assert status() == 0
    os.close(told)
    os.close(tell)
    assert names(database) == ["ada", "thread"]


@pytest.fixture
def sqlite_path(sqlite_url):
    return Path(sqlite_url.removeprefix("sqlite:///"))


def test_a_locked_file_is_an_error_in_bounded_time_and_works_again_after(sqlite_path):
    with contextlib.closing(Database(f"sqlite:///{sqlite_path}", timeout_s=0.2)) as database:
        with contextlib.closing(sqlite3.connect(sqlite_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseUnavailableError) as caught, database.write():
                pytest.fail("it has no right to write")
            assert caught.value.retry_after_s
            database.ping()  # readers do not mind
            other.execute("ROLLBACK")
        with database.write() as writing:
            create(writing, "ada")
        assert names(database) == ["ada"]


def test_a_wait_for_the_turn_is_taken_off_the_wait_for_the_file(sqlite_path, monkeypatch):
    """On a clock by which the turn has taken all of it but a moment."""
    with contextlib.closing(Database(f"sqlite:///{sqlite_path}", timeout_s=60)) as database:
        with contextlib.closing(sqlite3.connect(sqlite_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            clock = iter([0.0, 59.9])
            # The module's own clock: by the real one, other threads wait too.
            monkeypatch.setattr(
                database_module, "time", SimpleNamespace(monotonic=lambda: next(clock))
            )
            with pytest.raises(DatabaseUnavailableError), database.write():
                pytest.fail("it has no right to write")
            monkeypatch.undo()
        with database.read() as reading:  # by the same connection
            assert reading.execute(text("PRAGMA busy_timeout")).scalar_one() == 60_000


def test_those_who_wait_for_their_turn_to_write_hold_no_connection(sqlite_path):
    with contextlib.closing(
        Database(f"sqlite:///{sqlite_path}", pool_size=2, timeout_s=SOON_S)
    ) as database:
        started = [threading.Event() for _ in range(4)]

        def write(number):
            started[number].set()
            with database.write() as writing:
                create(writing, f"user {number}")

        with ThreadPoolExecutor(5) as pool:
            with database.write():
                writers = [pool.submit(write, number) for number in range(4)]
                assert all(event.wait(SOON_S) for event in started)
                # One connection writes, and the other is free for whoever reads.
                assert pool.submit(names, database).result(SOON_S) == []
            for writer in writers:
                writer.result(SOON_S)
        assert len(names(database)) == 4


def test_importing_storage_brings_no_driver_and_no_orm():
    code = (
        "import sys, xwe.storage.database, xwe.storage.repositories.messages\n"
        "assert not {'psycopg', 'alembic', 'sqlalchemy.orm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
