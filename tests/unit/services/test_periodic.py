"""Looks that are repeated on the resident loop."""

import logging
import queue

import pytest

from xwe.errors import DatabaseUnavailableError
from xwe.services.periodic import Check, Periodic


class Looked:
    """Tells the test of every look, and fails as it is told to."""

    def __init__(self):
        self.times = queue.SimpleQueue()
        self.errors = queue.SimpleQueue()

    async def look(self):
        self.times.put("looked")
        try:
            error = self.errors.get_nowait()
        except queue.Empty:
            return
        raise error


@pytest.fixture
def looked():
    return Looked()


@pytest.fixture
def periodic(looked):
    periodic = Periodic([Check("the test", 0.001, looked.look)])
    yield periodic
    periodic.close()


@pytest.mark.parametrize("error", [DatabaseUnavailableError(), RuntimeError("a mistake")])
def test_one_that_fails_is_told_and_made_again(looked, periodic, caplog, error):
    looked.errors.put(error)
    with caplog.at_level(logging.WARNING):
        periodic.start()
        assert [looked.times.get(timeout=60) for _ in range(3)] == ["looked"] * 3
    (record,) = caplog.records
    assert record.getMessage().startswith("The check of the test failed")
    # A mistake of ours needs its place; a database that is away does not.
    assert (record.exc_info is not None) == isinstance(error, RuntimeError)


def test_the_first_comes_at_once_and_a_second_start_is_none(looked):
    periodic = Periodic([Check("the test", 3600, looked.look)])
    periodic.start()
    periodic.start()
    looked.times.get(timeout=60)
    periodic.close()
    periodic.close()
    assert looked.times.empty()
