"""PostgreSQL that is locked, restarted, away, or frozen: an error in time, and back after."""

import contextlib
import secrets
import select
import socket
import threading
import time

import psycopg
import pytest
from postgresql import new_database
from sqlalchemy import text

from xwe.errors import DatabaseUnavailableError, InvalidRequestError
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade
from xwe.storage.repositories import users

pytestmark = pytest.mark.service("postgresql")

# Short where a limit has to be met, and far away where none is to be.
HASTY_S, PATIENT_S = 1.0, 60.0
# A new connection takes whole seconds, and two at least; a busy machine takes as many more.
LONGEST_S = 60.0
SOON_S = 60.0


class Line:
    """A line to the server, which can be cut, and left open without a word coming through."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._pairs = []
        self._ended = threading.Event()
        self._threads = []
        self._start(self._accept)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, name="line")
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", 5432))
                self._pairs.append((client, server))
                self._start(self._carry, client, server)

    def _carry(self, client, server):
        with contextlib.suppress(OSError, ValueError), client, server:
            while True:
                ready, _, _ = select.select([client, server], [], [], 0.05)
                if self._ended.is_set():
                    return
                if not self._open.wait(0.05):
                    continue
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)

    def freeze(self):
        """Let nothing through, while everything seems to stand."""
        self._open.clear()

    def thaw(self):
        self._open.set()

    def close(self):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def url():
    with new_database() as address:
        upgrade(address)
        yield address


@pytest.fixture
def database(url):
    with contextlib.closing(Database(url, timeout_s=PATIENT_S)) as opened:
        yield opened


@pytest.fixture
def hasty(url):
    with contextlib.closing(Database(url, timeout_s=HASTY_S)) as opened:
        yield opened


@pytest.fixture
def line():
    with contextlib.closing(Line()) as opened:
        yield opened


@pytest.fixture
def remote(url, line):
    """The database at the other end of the line."""
    address = url.replace(":5432/", f":{line.port}/")
    with contextlib.closing(Database(address, timeout_s=HASTY_S)) as opened:
        yield opened


def create(database, name):
    with database.write() as writing:
        return users.create(writing, username=name, password_hash="hash")


def refused(act):
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailableError) as caught:
        act()
    assert time.monotonic() - begun < LONGEST_S
    assert caught.value.retry_after_s
    return caught.value


def soon(act):
    """What it gives once it is done within the hasty limits, which a busy machine may miss."""
    ends_at = time.monotonic() + SOON_S
    while True:
        try:
            return act()
        except DatabaseUnavailableError:
            assert time.monotonic() < ends_at


def works_again(database):
    # Each attempt under a name of its own: one may have been kept and its word not have come.
    name = soon(lambda: create(database, secrets.token_hex(8)).username)
    return soon(lambda: found(database, name))


def found(database, name):
    with database.read() as reading:
        return users.by_name(reading, name)


@contextlib.contextmanager
def other_session(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "act",
    [
        lambda unit: users.by_name(unit, "a\0da"),
        lambda unit: users.by_id(unit, 2**80),
        lambda unit: users.create(unit, username="a\0da", password_hash="hash"),
        lambda unit: users.create(unit, username="a" * 65, password_hash="hash"),
    ],
    ids=["NUL in a question", "number in a question", "NUL", "too long"],
)
def test_a_value_that_cannot_be_known_is_whoever_sent_its_fault(database, act):
    with pytest.raises(InvalidRequestError), database.write() as writing:
        act(writing)
    database.ping()


def test_a_locked_table_is_an_error_in_bounded_time_and_works_again_after(url, hasty):
    with other_session(url) as other, other.transaction():
        other.execute('LOCK TABLE "user"')
        refused(lambda: create(hasty, "locked"))
    assert works_again(hasty)


def test_a_statement_that_takes_too_long_is_ended(hasty):
    def dawdle():
        with hasty.read() as reading:
            reading.execute(text("SELECT pg_sleep(600)"))

    refused(dawdle)
    soon(hasty.ping)


def test_connections_that_the_server_has_ended_cost_no_request(url, database):
    database.ping()
    with other_session(url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    database.ping()


def test_a_connection_that_ends_in_mid_unit_is_an_error_and_undoes_the_unit(url, database):
    def cut_off():
        with database.write() as writing:
            users.create(writing, username="half", password_hash="hash")
            with other_session(url) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            users.create(writing, username="whole", password_hash="hash")

    refused(cut_off)
    assert found(database, "half") is None


def test_a_server_that_is_away_is_an_error():
    with socket.socket() as taken:  # nobody else gets its port, and nobody listens on it
        taken.bind(("127.0.0.1", 0))
        address = f"postgresql://postgres@127.0.0.1:{taken.getsockname()[1]}/xwe"
        with contextlib.closing(Database(address)) as database:
            refused(database.ping)


def test_a_frozen_server_is_an_error_in_bounded_time_and_works_again_after(remote, line):
    soon(remote.ping)
    line.freeze()
    refused(remote.ping)
    refused(lambda: create(remote, "frozen"))
    line.thaw()
    assert works_again(remote)


def test_a_server_that_freezes_in_mid_unit_is_an_error_in_bounded_time(remote, line):
    def freeze_between():
        with remote.write() as writing:
            users.create(writing, username="half way", password_hash="hash")
            line.freeze()
            users.by_name(writing, "half way")

    refused(freeze_between)
    line.thaw()
    assert soon(lambda: found(remote, "half way")) is None
