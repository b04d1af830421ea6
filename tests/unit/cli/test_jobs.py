"""`xwe jobs`: what an operator sees and does."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from xwe.cli.commands import xwe_command
from xwe.storage.database import Database
from xwe.storage.repositories import jobs, users


@pytest.fixture
def database(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ | {"XWE_DATABASE_URL": sqlite_url})
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
def user(database):
    with database.write() as writing:
        return users.create(writing, username="ada", password_hash="hash").id


@pytest.fixture
def parked(database, user):
    with database.write() as writing:
        job = jobs.create(writing, kind="character", payload={"text": "a secret"}, user_id=user)
        until = datetime.now(UTC) + timedelta(minutes=1)
        taken = jobs.take(writing, ["character"], owner="runner", lease_until=until)
        jobs.fail(writing, taken, "the key is wrong", retry_at=None)
    return job.id


def invoke(*arguments):
    return CliRunner().invoke(xwe_command, ["jobs", *map(str, arguments)])


def state_of(database, job):
    with database.read() as reading:
        return jobs.by_id(reading, job).state


def test_the_list_has_a_line_for_each_job_and_tells_nothing_of_its_contents(database, user, parked):
    with database.write() as writing:
        waiting = jobs.create(writing, kind="compress", payload={}, user_id=user).id
    listed = invoke("list").output.splitlines()
    assert [line.split()[:3] for line in listed] == [
        [str(waiting), "queued", "compress"],
        [str(parked), "dead", "character"],
    ]
    assert "the key is wrong" in listed[1]
    assert "a secret" not in "".join(listed)
    assert invoke("list", "--state", "dead").output.splitlines() == listed[1:]
    assert invoke("list", "--kind", "compress").output.splitlines() == listed[:1]


def test_a_parked_job_is_queued_anew_and_then_cancelled(database, parked):
    assert invoke("retry", parked).exit_code == 0
    assert state_of(database, parked) == "queued"
    assert "cancelled" in invoke("cancel", parked).output
    assert state_of(database, parked) == "cancelled"


def test_a_running_job_is_asked_to_end(database, parked):
    assert invoke("retry", parked).exit_code == 0
    with database.write() as writing:
        until = datetime.now(UTC) + timedelta(minutes=1)
        jobs.take(writing, ["character"], owner="runner", lease_until=until)
    assert "asked to end" in invoke("cancel", parked).output
    with database.read() as reading:
        assert jobs.by_id(reading, parked).cancel_requested


@pytest.mark.parametrize("order", ["retry", "cancel"])
def test_what_is_not_there_is_said_in_one_line(database, order):
    result = invoke(order, 99)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "99" in result.stderr


def test_a_job_that_waits_cannot_be_retried(database, parked):
    invoke("retry", parked)
    result = invoke("retry", parked)
    assert (result.exit_code, result.stdout) == (1, "")
