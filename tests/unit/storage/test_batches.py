"""Deleting in batches: bounded each, and others write in between."""

from functools import partial

import pytest
from sqlalchemy import text

from xwe.errors import DatabaseUnavailableError
from xwe.storage import batches
from xwe.storage.batches import in_batches
from xwe.storage.repositories import generations, jobs

# After so many rows of one transaction each takes a minute.
QUICK_ROWS = 50
DAWDLE = text(
    f"""CREATE FUNCTION dawdle() RETURNS trigger AS $$
    DECLARE gone int := coalesce(nullif(current_setting('xwe.gone', true), ''), '0')::int + 1;
    BEGIN
        PERFORM set_config('xwe.gone', gone::text, true);
        IF gone > {QUICK_ROWS} THEN PERFORM pg_sleep(60); END IF;
        RETURN OLD;
    END $$ LANGUAGE plpgsql"""
)
AT_EACH_ROW = text(
    "CREATE TRIGGER dawdle BEFORE DELETE ON generation FOR EACH ROW EXECUTE FUNCTION dawdle()"
)


@pytest.fixture
def ended(database, chat, later):
    """Makes so many generations that have ended."""

    def make(count):
        with database.write() as writing:
            for number in range(count):
                name = f"g{number:04}"
                generations.begin(
                    writing, name, conversation_id=chat.id, owner="me", lease_until=later(60)
                )
                generations.finish(writing, name, "complete")

    return make


@pytest.mark.parametrize("rows", [3, 1000])
def test_a_batch_is_so_much_and_no_more(database, ada, later, monkeypatch, rows):
    monkeypatch.setattr(batches, "BATCH_ROWS", rows)
    with database.write() as writing:
        for _ in range(5):
            jobs.create(writing, kind="build", payload={}, user_id=ada.id)
            taken = jobs.take(writing, ["build"], owner="me", lease_until=later(60))
            jobs.finish(writing, taken)
        assert jobs.purge(writing, later(-60)) == 0
        assert jobs.purge(writing, later(60)) == min(rows, 5)
        assert jobs.purge(writing, later(60)) == 5 - min(rows, 5)
        assert jobs.purge(writing, later(60)) == 0


@pytest.mark.parametrize("either_url", ["postgresql"], indirect=True)
@pytest.mark.service("postgresql")
def test_more_is_deleted_than_one_statement_can_delete_in_time(
    open_database, ended, later, monkeypatch
):
    """By how many they are, not by how long it takes: the machine may be busy."""
    ended(2 * QUICK_ROWS)
    hurried, database = open_database(timeout_s=1.0), open_database(timeout_s=50.0)
    with database.write() as writing:
        writing.execute(DAWDLE)
        writing.execute(AT_EACH_ROW)
    try:
        with pytest.raises(DatabaseUnavailableError), hurried.write() as writing:
            generations.purge(writing, later(60))
        monkeypatch.setattr(batches, "BATCH_ROWS", 10)
        purge = partial(generations.purge, finished_before=later(60))
        assert in_batches(database, purge) == 2 * QUICK_ROWS
    finally:
        with database.write() as writing:
            writing.execute(text("DROP TRIGGER dawdle ON generation"))
            writing.execute(text("DROP FUNCTION dawdle"))


class Clock:
    """Time passes while a batch is deleted, and while the others have their half of it."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def test_half_of_the_time_is_for_others(database, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(batches, "time", clock)
    durations = iter([0.5, 2.0, 0.0])

    def delete_some(_):
        clock.now += (took := next(durations))
        return int(took > 0)

    assert in_batches(database, delete_some) == 2
    assert clock.pauses == [0.5, 2.0]


def test_it_ends_with_the_process_and_goes_on_with_the_next(database, ended, later, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ROWS", 2)
    ended(5)
    delete_some = partial(generations.purge, finished_before=later(60))
    answers = iter([True, True, False])
    assert in_batches(database, delete_some, lambda: next(answers)) == 4
    assert in_batches(database, delete_some, lambda: False) == 0
    assert in_batches(database, delete_some) == 1
