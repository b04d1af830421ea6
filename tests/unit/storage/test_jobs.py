"""Jobs: rows under leases."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from xwe.errors import ConflictError, NotFoundError
from xwe.storage.repositories import jobs

KINDS = ["build", "compress"]
SOON_S = 60.0


@pytest.fixture
def take(later):
    def take(writing, seconds=60, owner="runner", kinds=KINDS):
        return jobs.take(writing, kinds, owner=owner, lease_until=later(seconds))

    return take


@pytest.fixture
def queued(database, ada):
    with database.write() as writing:
        return jobs.create(writing, kind="build", payload={"name": "李白"}, user_id=ada.id)


def test_a_job_is_taken_with_its_payload(database, queued, take):
    with database.write() as writing:
        taken = take(writing)
        assert take(writing) is None
    assert (taken.id, taken.payload) == (queued.id, {"name": "李白"})
    assert (taken.state, taken.attempts) == ("running", 1)
    assert taken.owner.startswith("runner:")


def test_many_runners_take_each_job_once(database, ada, take):
    with database.write() as writing:
        made = {jobs.create(writing, kind="build", payload={}).id for _ in range(20)}

    def run(number):
        taken = []
        while True:
            with database.write() as writing:
                job = take(writing, owner=f"runner {number}")
            if job is None:
                return taken
            taken.append(job.id)

    with ThreadPoolExecutor(6) as pool:
        taken = [job for run in pool.map(run, range(6)) for job in run]
    assert sorted(taken) == sorted(made)


def test_runners_take_only_the_kinds_they_know(database, queued, take, later):
    with database.write() as writing:
        assert take(writing, kinds=["compress"]) is None
        assert not jobs.is_any_due(writing, ["compress"], later(0))
        assert jobs.is_any_due(writing, KINDS, later(0))


def test_a_job_waits_until_it_is_due(database, take, later):
    with database.write() as writing:
        jobs.create(writing, kind="build", payload={}, run_after=later(60))
        assert take(writing) is None
        assert jobs.is_any_due(writing, KINDS, later(61))


def test_unfinished_work_is_queued_once(database, ada, take):
    work = {"kind": "compress", "payload": {}, "user_id": ada.id, "dedupe_key": "compress:1:20"}
    with database.write() as writing:
        first = jobs.create(writing, **work)
        assert jobs.create(writing, **work) == first
        taken = take(writing)
        assert jobs.create(writing, **work).id == first.id
        jobs.finish(writing, taken)
        assert jobs.create(writing, **work).id != first.id


def test_a_finished_job_has_its_result(database, ada, queued, take):
    with database.write() as writing:
        taken = take(writing)
        assert jobs.progress(
            writing, taken, percent=40, message="背景故事", detail={"背景故事": "done"}
        )
        assert jobs.progress(writing, taken, percent=50, message="more", detail={"x": "running"})
        seen = jobs.get(writing, ada.id, queued.id)
        assert jobs.finish(writing, taken, {"character_id": 7})
        done = jobs.get(writing, ada.id, queued.id)
    assert (seen.progress, seen.message) == (50, "more")
    assert seen.detail == {"背景故事": "done", "x": "running"}
    assert (done.state, done.progress, done.result) == ("done", 100, {"character_id": 7})
    assert done.finished_at is not None


def test_three_failures_park_a_job_with_its_error(database, ada, queued, take, later):
    with database.write() as writing:
        for attempt in range(1, 4):
            taken = take(writing)
            assert taken.attempts == attempt
            jobs.fail(writing, taken, f"failure {attempt}", retry_at=later(-1))
        assert take(writing) is None
        parked = jobs.get(writing, ada.id, queued.id)
        assert [job.id for job in jobs.listed(writing, state="dead")] == [queued.id]
        again = jobs.retry(writing, ada.id, queued.id)
        assert (again.state, again.attempts, again.error) == ("queued", 0, None)
        assert take(writing).id == queued.id
    assert (parked.state, parked.error) == ("dead", "failure 3")


def test_a_failure_without_hope_parks_a_job_at_once(database, ada, queued, take):
    with database.write() as writing:
        jobs.fail(writing, take(writing), "no such page", retry_at=None)
        assert jobs.get(writing, ada.id, queued.id).state == "dead"


def test_a_job_whose_runner_died_is_taken_up_by_another(database, queued, take, later):
    with database.write() as writing:
        dead = take(writing, seconds=-1, owner="dead")
        heir = take(writing, owner="heir")
        assert (heir.id, heir.attempts) == (dead.id, 2)
        # The first lives after all, and has lost its right to write.
        assert not jobs.finish(writing, dead, "twice")
        assert not jobs.progress(writing, dead, percent=1, message="")
        assert not jobs.fail(writing, dead, "x", retry_at=None)
        assert not jobs.cancelled(writing, dead)
        assert jobs.renew(writing, dead, later(60)) is None
        assert jobs.renew(writing, heir, later(60)) is False
        assert jobs.finish(writing, heir, "once")


def test_the_same_runner_has_no_right_from_an_earlier_attempt(database, queued, take):
    with database.write() as writing:
        first = take(writing, seconds=-1)
        second = take(writing)
        assert not jobs.finish(writing, first)
        assert jobs.finish(writing, second)


@pytest.mark.parametrize("how", ["retried", "given back"])
def test_nor_has_it_when_the_attempts_are_counted_anew(database, queued, take, how):
    with database.write() as writing:
        first = take(writing, seconds=-1)
        if how == "retried":
            jobs.request_cancel(writing, queued.user_id, queued.id)
            assert take(writing) is None
            jobs.retry(writing, queued.user_id, queued.id)
        else:
            assert jobs.give_back(writing, first)
        second = take(writing)
        assert (first.id, first.attempts) == (second.id, second.attempts)
        assert not jobs.finish(writing, first, "stale")
        assert not jobs.progress(writing, first, percent=1, message="")
        assert not jobs.fail(writing, first, "x", retry_at=None)
        assert jobs.renew(writing, first, second.lease_until) is None
        assert jobs.finish(writing, second, "fresh")


def test_a_job_that_kills_its_runners_is_parked(database, ada, queued, take):
    with database.write() as writing:
        for _ in range(3):
            assert take(writing, seconds=-1) is not None
        assert take(writing) is None
        parked = jobs.get(writing, ada.id, queued.id)
    assert (parked.state, parked.error) == ("dead", "its runner died each time")


def test_a_waiting_job_is_cancelled_at_once(database, ada, queued, take):
    with database.write() as writing:
        assert jobs.request_cancel(writing, ada.id, queued.id).state == "cancelled"
        assert take(writing) is None


def test_a_running_job_is_cancelled_by_its_runner(database, ada, queued, take, later):
    with database.write() as writing:
        taken = take(writing)
        asked = jobs.request_cancel(writing, ada.id, queued.id)
        assert (asked.state, asked.cancel_requested) == ("running", True)
        assert jobs.renew(writing, taken, later(60)) is True
        assert jobs.cancelled(writing, taken)
        assert jobs.request_cancel(writing, ada.id, queued.id).state == "cancelled"


def waits_for_a_lock(database):
    """Whether somebody does, on PostgreSQL; on SQLite all that write wait for their turn."""
    with database.read() as reading:
        if reading.dialect == "sqlite":
            return True
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return reading.execute(waiting).scalar_one() > 0


@pytest.mark.parametrize("how", ["failed for now", "given back"])
def test_a_cancel_is_not_lost_while_its_runner_puts_the_job_back(open_database, queued, take, how):
    database, runners = open_database(timeout_s=SOON_S), open_database(timeout_s=SOON_S)

    def cancel():
        with database.write() as writing:
            return jobs.request_cancel(writing, queued.user_id, queued.id)

    with ThreadPoolExecutor(1) as pool:
        with runners.write() as writing:
            taken = take(writing)
        with runners.write() as writing:
            if how == "given back":
                jobs.give_back(writing, taken)
            else:
                jobs.fail(writing, taken, "x", retry_at=taken.lease_until)
            asked = pool.submit(cancel)
            ends_at = time.monotonic() + SOON_S
            while not waits_for_a_lock(database):
                assert time.monotonic() < ends_at
        seen = asked.result(SOON_S)
    assert (seen.state, seen.cancel_requested) == ("cancelled", True)
    with database.read() as reading:
        assert jobs.by_id(reading, queued.id) == seen


def test_a_job_to_be_cancelled_is_not_taken_up_after_its_runner_died(database, ada, queued, take):
    with database.write() as writing:
        take(writing, seconds=-1)
        jobs.request_cancel(writing, ada.id, queued.id)
        assert take(writing) is None
        assert jobs.get(writing, ada.id, queued.id).state == "cancelled"


def test_somebody_elses_job_is_not_there(database, bob, queued):
    with database.write() as writing:
        assert jobs.get(writing, bob.id, queued.id) is None
        for change in (jobs.request_cancel, jobs.retry):
            with pytest.raises(NotFoundError):
                change(writing, bob.id, queued.id)
        assert jobs.listed(writing, user_id=bob.id) == []
        assert jobs.by_id(writing, queued.id) == queued


def test_a_parked_job_is_not_queued_beside_its_like(database, ada, take):
    work = {"kind": "build", "payload": {}, "user_id": ada.id, "dedupe_key": "k"}
    with database.write() as writing:
        first = jobs.create(writing, **work)
        jobs.fail(writing, take(writing), "x", retry_at=None)
        jobs.create(writing, **work)
    with pytest.raises(ConflictError), database.write() as writing:
        jobs.retry(writing, ada.id, first.id)


def test_jobs_are_listed_newest_first_in_pages(database, ada):
    with database.write() as writing:
        made = [jobs.create(writing, kind=kind, payload={}).id for kind in KINDS * 2]
        first = [job.id for job in jobs.listed(writing, limit=3)]
        rest = [job.id for job in jobs.listed(writing, before_id=first[-1])]
        assert first + rest == made[::-1]
        assert {job.kind for job in jobs.listed(writing, kind="build")} == {"build"}


def test_a_job_that_is_given_back_is_due_at_once_and_has_not_been_tried(database, queued, take):
    with database.write() as writing:
        taken = take(writing)
        assert jobs.give_back(writing, taken)
        assert not jobs.give_back(writing, taken), "it is not ours any more"
        again = take(writing, owner="another")
    assert (again.id, again.attempts) == (queued.id, 1)
    assert again.owner.startswith("another:")


@pytest.mark.parametrize("result", [7, 1.5, "text", None, [1], {"a": 1}, True])
def test_a_result_is_read_as_it_was_written(database, queued, take, result):
    with database.write() as writing:
        assert jobs.finish(writing, take(writing), result)
    with database.read() as reading:
        assert jobs.by_id(reading, queued.id).result == result
