"""Requests that are sent twice and done once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.errors import IdempotencyClashError
from xwe.storage.repositories import idempotency


@pytest.fixture
def begin(ada, later):
    def begin(writing, body_hash="h", seconds=60):
        return idempotency.begin(
            writing, ada.id, "key", body_hash=body_hash, lease_until=later(seconds)
        )

    return begin


def test_the_second_gets_the_firsts_response(database, ada, begin):
    with database.write() as writing:
        assert begin(writing).state == "new"
        assert begin(writing).state == "running"
        idempotency.finish(writing, ada.id, "key", {"reply": "你好"})
        again = begin(writing)
        assert again == idempotency.look(writing, ada.id, "key", body_hash="h")
    assert (again.state, again.response) == ("finished", {"reply": "你好"})


def test_of_many_at_once_one_does_the_work(database, begin):
    def ask(_):
        with database.write() as writing:
            return begin(writing).state

    with ThreadPoolExecutor(8) as pool:
        states = sorted(pool.map(ask, range(24)))
    assert states == ["new"] + ["running"] * 23


def test_a_key_stands_for_one_body(database, ada, begin):
    with database.write() as writing:
        begin(writing)
        with pytest.raises(IdempotencyClashError):
            begin(writing, body_hash="other")
        with pytest.raises(IdempotencyClashError):
            idempotency.look(writing, ada.id, "key", body_hash="other")


def test_keys_of_different_users_have_nothing_to_do_with_each_other(database, bob, begin, later):
    with database.write() as writing:
        begin(writing)
        other = idempotency.begin(writing, bob.id, "key", body_hash="x", lease_until=later(60))
        assert other.state == "new"


def test_what_came_to_nothing_may_be_tried_again(database, ada, begin):
    with database.write() as writing:
        begin(writing)
        idempotency.forget(writing, ada.id, "key")
        assert idempotency.look(writing, ada.id, "key", body_hash="h") is None
        assert begin(writing).state == "new"
        idempotency.finish(writing, ada.id, "key", {})
        idempotency.forget(writing, ada.id, "key")
        assert begin(writing).state == "finished"


def test_a_dead_request_does_not_hold_its_key(database, begin):
    with database.write() as writing:
        begin(writing, seconds=-1)
        assert begin(writing).state == "new"
        assert begin(writing).state == "running"


def test_old_keys_are_forgotten(database, begin, later):
    with database.write() as writing:
        begin(writing)
        assert idempotency.purge(writing, later(-60)) == 0
        assert idempotency.purge(writing, later(60)) == 1
