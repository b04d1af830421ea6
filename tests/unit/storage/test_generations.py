"""Generations: one that runs in a conversation, under a lease."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from xwe.errors import GenerationRunningError
from xwe.storage.repositories import generations


@pytest.fixture
def begin(chat, later):
    def begin(writing, generation_id, seconds=60):
        return generations.begin(
            writing,
            generation_id,
            conversation_id=chat.id,
            owner="me",
            lease_until=later(seconds),
        )

    return begin


def test_a_conversation_is_answered_once_at_a_time(database, chat, begin):
    with database.write() as writing:
        begin(writing, "first")
        with pytest.raises(GenerationRunningError):
            begin(writing, "second")
        assert generations.running_count(writing, chat.user_id) == 1
        assert generations.finish(writing, "first", "complete")
        begin(writing, "third")


def test_of_many_that_begin_at_once_one_does(database, begin):
    def ask(number):
        try:
            with database.write() as writing:
                return begin(writing, f"g{number}")
        except GenerationRunningError:
            return None

    with ThreadPoolExecutor(8) as pool:
        begun = [generation for generation in pool.map(ask, range(16)) if generation]
    assert len(begun) == 1


def test_it_is_found_by_its_owner_alone(database, ada, bob, begin):
    with database.write() as writing:
        made = begin(writing, "g")
        assert generations.get(writing, ada.id, "g") == made
        assert generations.get(writing, bob.id, "g") is None
        assert not generations.request_cancel(writing, bob.id, "g")
        assert generations.running_count(writing, ada.id) == 1
        assert generations.running_count(writing, bob.id) == 0


def test_a_wish_to_cancel_reaches_the_process_that_makes_it(database, ada, begin, later):
    with database.write() as writing:
        begin(writing, "g")
        assert generations.renew_leases(writing, ["g", "gone"], later(60)) == {"g": False}
        assert generations.asked_elsewhere(writing, ["g"], later(0)) == (set(), set())
        assert generations.request_cancel(writing, ada.id, "g")
        assert generations.asked_elsewhere(writing, ["g", "gone"], later(0)) == ({"g"}, set())
        assert generations.renew_leases(writing, ["g"], later(60)) == {"g": True}


def test_who_makes_it_is_told_that_it_is_read_elsewhere_for_as_long_as_it_is(
    database, begin, later
):
    until = later(10)
    before, after = (until + timedelta(seconds=seconds) for seconds in (-1, 1))
    with database.write() as writing:
        begin(writing, "g")
        generations.keep_read(writing, "g", until)
        generations.keep_read(writing, "gone", until)
        asked = ["g", "gone"]
        assert generations.asked_elsewhere(writing, asked, before) == (set(), {"g"})
        assert generations.asked_elsewhere(writing, asked, after) == (set(), set())
        generations.finish(writing, "g", "complete")
        assert generations.asked_elsewhere(writing, asked, before) == (set(), set())


def test_it_ends_once(database, ada, begin):
    with database.write() as writing:
        begin(writing, "g")
        assert generations.finish(writing, "g", "cancelled")
        assert not generations.finish(writing, "g", "complete")
        assert not generations.request_cancel(writing, ada.id, "g")
        ended = generations.get(writing, ada.id, "g")
    assert ended.status == "cancelled"
    assert ended.finished_at >= ended.created_at


def test_one_whose_process_has_died_is_ended_by_another(database, begin, later):
    with database.write() as writing:
        begin(writing, "g", seconds=30)
        assert generations.expired(writing, later(0)) == []
        assert [found.id for found in generations.expired(writing, later(31))] == ["g"]
        (ended,) = generations.expire(writing, later(31))
        assert (ended.id, ended.status) == ("g", "partial")
        assert generations.expire(writing, later(31)) == []
        # What its process does now, should it live after all, changes nothing.
        assert generations.renew_leases(writing, ["g"], later(60)) == {}
        assert not generations.finish(writing, "g", "complete")


def test_nothing_is_asked_for_nothing(database, later):
    with database.write() as writing:
        assert generations.renew_leases(writing, [], later(60)) == {}
        assert generations.asked_elsewhere(writing, [], later(0)) == (set(), set())


def test_those_that_ended_long_ago_are_forgotten(database, ada, begin, later):
    with database.write() as writing:
        begin(writing, "g")
        generations.finish(writing, "g", "complete")
        begin(writing, "running")
        assert generations.purge(writing, later(60)) == 1
        assert generations.get(writing, ada.id, "running") is not None
