"""One empty database for each test, on SQLite and on PostgreSQL alike."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from xwe.storage.database import Database
from xwe.storage.repositories import characters, conversations, users


@pytest.fixture
def database_url(either_url):
    return either_url


@pytest.fixture
def open_database(database_url):
    """Opens the test's database, with bounds if given, and closes it in the end."""
    with contextlib.ExitStack() as stack:

        def opener(**bounds):
            # Patient, unless a limit is the subject: on a busy machine any step may take seconds.
            database = Database(database_url, **{"timeout_s": 60.0} | bounds)
            stack.callback(database.close)
            return database

        yield opener


@pytest.fixture
def database(open_database):
    return open_database()


@pytest.fixture
def ada(database):
    with database.write() as writing:
        return users.create(writing, username="ada", password_hash="hash")


@pytest.fixture
def bob(database):
    with database.write() as writing:
        return users.create(writing, username="bob", password_hash="hash")


@pytest.fixture
def li_bai(database, ada):
    with database.write() as writing:
        return characters.create(writing, user_id=ada.id, name="李白")


@pytest.fixture
def chat(database, ada, li_bai):
    """Ada's conversation with 李白."""
    with database.write() as writing:
        return conversations.for_character(writing, ada.id, li_bai.id)


@pytest.fixture
def later():
    """An instant so many seconds from now."""
    return lambda seconds: datetime.now(UTC) + timedelta(seconds=seconds)
