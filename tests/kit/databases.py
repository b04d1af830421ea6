"""Databases with all tables and nothing in them, for a test; on both that we know."""

import contextlib
import shutil

import pytest
from postgresql import SQLITE_AND_POSTGRESQL, new_database

from xwe.storage.database import Database
from xwe.storage.migrating import upgrade
from xwe.storage.models import metadata


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """The file that is copied: making the tables takes far longer."""
    path = tmp_path_factory.mktemp("template") / "xwe.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template, tmp_path):
    """The address of an empty SQLite database."""
    path = tmp_path / "xwe.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgresql_of_session():
    with new_database() as url:
        upgrade(url)
        yield url


@pytest.fixture
def postgresql_url(postgresql_of_session):
    """The address of an empty PostgreSQL database; its tests are marked with the service."""
    with (
        contextlib.closing(Database(postgresql_of_session, timeout_s=60)) as database,
        database.write() as writing,
    ):
        for table in reversed(metadata.sorted_tables):
            writing.execute(table.delete())
    return postgresql_of_session


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def either_url(request):
    """The address of an empty database, of one kind and of the other."""
    return request.getfixturevalue(f"{request.param}_url")
