"""Tidying up, on a clock that the test turns: what can still be asked for stays."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from xwe.cli.commands import xwe_command
from xwe.services import housekeeping
from xwe.services.housekeeping import Housekeeping, Tidied
from xwe.storage import batches
from xwe.storage.database import Database
from xwe.storage.repositories import (
    characters,
    conversations,
    generations,
    jobs,
    sessions,
    users,
)

KEPT = timedelta(days=30)


@pytest.fixture
def url(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return sqlite_url


@pytest.fixture
def database(url):
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def tidy(database, monkeypatch):
    """Tidies up as so many days from now."""

    def tidy(days):
        at = datetime.now(UTC) + timedelta(days=days)
        monkeypatch.setattr(housekeeping, "now", lambda: at)
        return Housekeeping(database, KEPT).tidy()

    return tidy


@pytest.fixture
def ada(database):
    with database.write() as writing:
        return users.create(writing, username="ada", password_hash="hash")


def ended_job(writing, user, end):
    jobs.create(writing, kind="character", payload={}, user_id=user.id)
    until = datetime.now(UTC) + timedelta(minutes=1)
    taken = jobs.take(writing, ["character"], owner="runner", lease_until=until)
    end(taken)
    return taken.id


def test_a_deleted_character_can_be_had_back_until_the_end_of_the_month(database, ada, tidy):
    with database.write() as writing:
        gone = characters.create(writing, user_id=ada.id, name="李白")
        characters.create(writing, user_id=ada.id, name="杜甫")
        characters.remove(writing, ada.id, gone.id)
    assert tidy(29).characters == 0
    with database.write() as writing:
        characters.restore(writing, ada.id, gone.id)
        characters.remove(writing, ada.id, gone.id)
    assert tidy(31).characters == 1
    with database.read() as reading:
        assert [line.name for line in characters.summaries(reading, ada.id)] == ["杜甫"]


def test_how_an_answer_was_made_is_forgotten_and_what_runs_is_not(database, ada, tidy):
    with database.write() as writing:
        character = characters.create(writing, user_id=ada.id, name="李白")
        chat = conversations.for_character(writing, ada.id, character.id)
        until = datetime.now(UTC) + timedelta(seconds=30)
        for name in ("ended", "running"):
            generations.begin(
                writing, name, conversation_id=chat.id, owner="process", lease_until=until
            )
            if name == "ended":
                generations.finish(writing, name, "complete")
    assert tidy(6).generations == 0
    assert tidy(8).generations == 1
    with database.read() as reading:
        assert generations.get(reading, ada.id, "ended") is None
        assert generations.get(reading, ada.id, "running") is not None


def test_jobs_that_ended_go_and_those_that_gave_up_stay(database, ada, tidy):
    with database.write() as writing:
        done = ended_job(writing, ada, lambda taken: jobs.finish(writing, taken))
        dead = ended_job(writing, ada, lambda taken: jobs.fail(writing, taken, "x", retry_at=None))
        waiting = jobs.create(writing, kind="character", payload={}, user_id=ada.id).id
    assert tidy(29).jobs == 0
    assert tidy(31).jobs == 1
    with database.read() as reading:
        there = [jobs.by_id(reading, each) is not None for each in (done, dead, waiting)]
    assert there == [False, True, True]


def test_old_sessions_go(database, ada, tidy):
    with database.write() as writing:
        sessions.create(writing, ada, digest="digest", user_agent="")
    assert tidy(0) == Tidied(0, 0, 0, 0)
    assert tidy(365).sessions == 1


@pytest.fixture
def stubborn(database, ada):
    """Two sessions, and an ended job that cannot be deleted."""
    with database.write() as writing:
        ended_job(writing, ada, lambda taken: jobs.finish(writing, taken))
        for digest in ("one", "two"):
            sessions.create(writing, ada, digest=digest, user_agent="")
        no_more = "CREATE TRIGGER no BEFORE DELETE ON job BEGIN SELECT RAISE(ABORT, 'no'); END"
        writing.execute(text(no_more))


def test_what_cannot_be_deleted_keeps_nothing_else(stubborn, tidy, monkeypatch, caplog):
    monkeypatch.setattr(batches, "BATCH_ROWS", 1)
    assert tidy(365) == Tidied(0, 0, jobs=None, sessions=2)
    (told,) = caplog.records
    assert told.getMessage() == "The old jobs could not be deleted"


def test_an_operator_is_told_what_could_not_be_deleted(url, stubborn, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ | {"XWE_DATABASE_URL": url})
    at = datetime.now(UTC) + timedelta(days=365)
    monkeypatch.setattr(housekeeping, "now", lambda: at)
    said = CliRunner().invoke(xwe_command, ["db", "tidy"])
    assert said.exit_code == 1
    assert "jobs: failed\nsessions: 2 permanently deleted\n" in said.stdout


def test_a_process_that_ends_leaves_the_rest_to_the_next(database, stubborn, tidy):
    assert tidy(0) == Tidied(0, 0, 0, 0)
    ending = Housekeeping(database, timedelta(days=-365))
    ending.close()
    assert ending.tidy() == Tidied(0, 0, 0, 0)
    assert Housekeeping(database, timedelta(days=-365)).tidy().jobs is None


def test_an_operator_can_have_it_done_at_once(url, database, ada, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ | {"XWE_DATABASE_URL": url})
    with database.write() as writing:
        gone = characters.create(writing, user_id=ada.id, name="李白")
        characters.remove(writing, ada.id, gone.id)
    said = CliRunner().invoke(xwe_command, ["db", "tidy"])
    assert said.exit_code == 0
    assert "characters: 0 permanently deleted\n" in said.stdout
    with_clock = datetime.now(UTC) + timedelta(days=2)
    monkeypatch.setattr(housekeeping, "now", lambda: with_clock)
    monkeypatch.setattr(os, "environ", os.environ | {"XWE_KEEP_DELETED_DAYS": "1"})
    assert (
        "characters: 1 permanently deleted\n"
        in CliRunner().invoke(xwe_command, ["db", "tidy"]).stdout
    )


def test_without_tables_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    empty = {"XWE_DATABASE_URL": f"sqlite:///{tmp_path}/empty.db"}
    monkeypatch.setattr(os, "environ", os.environ | empty)
    said = CliRunner().invoke(xwe_command, ["db", "tidy"])
    assert said.exit_code == 1
    assert "xwe db upgrade" in said.stderr
