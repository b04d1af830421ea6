"""The status is the sum of the workers, with a past for a page that has just opened."""

from dataclasses import replace

import pytest

from xwe.observability.history import STEP_S, STEPS, Step
from xwe.observability.status import status_of

NOW = 1_000_004.0


@pytest.fixture
def worker(observation):
    """A worker with one step that is under way at NOW, and one before it."""
    own = observation.snapshot()

    def make(pid, breaker="closed", started_at=NOW - 3600, **fields):
        step = Step(1_000_000, requests=8, calls=4, cpu_s=1.0, watched_s=4.0, **fields)
        vitals = replace(own.vitals, in_flight=2, breaker=breaker, busy_share=0.5)
        steps = (Step(999_995, requests=10, watched_s=5.0), step)
        return replace(own, pid=pid, vitals=vitals, steps=steps, started_at=started_at)

    return make


def test_workers_add_up(worker):
    status = status_of([worker(1), worker(2, "open")], {"threads": 3}, NOW)
    assert status["now"]["in_flight"] == 4
    assert status["now"]["busy_share"] == 0.5
    assert status["now"]["breaker"] == "open"
    assert status["limits"] == {"threads": 3}
    assert [each["pid"] for each in status["workers"]] == [1, 2]
    assert status["recent"]["requests"] == 36


def test_answers_from_the_cache_are_those_of_all_workers(worker):
    recent = status_of([worker(1, cached=2), worker(2, cached=1)], {}, NOW)["recent"]
    assert (recent["calls"], recent["cached"]) == (8, 3)


def test_every_column_of_the_history_has_a_value_for_each_step(worker):
    history = status_of([worker(1), worker(2)], {}, NOW)["history"]
    columns = {name: column for name, column in history.items() if name != "step_s"}
    assert {len(column) for column in columns.values()} == {STEPS}
    assert history["at"][-2:] == [999_995, 1_000_000]
    assert history["requests_per_s"][-2:] == [4.0, 4.0]  # the newest is 4 of 5 seconds old
    assert history["busy_share"][-3:] == [None, 0.0, 0.25]


def test_failures_and_percentiles_are_those_of_all_workers(worker):
    slow, quick = worker(1, total={60: 1}, failures={"a": 1}), worker(2, total={0: 9})
    recent = status_of([slow, quick], {}, NOW)["recent"]
    assert recent["failures"] == {"a": 1}
    assert recent["total_s"]["count"] == 10
    assert recent["total_s"]["p50"] == 1.0
    assert recent["total_s"]["p95"] == pytest.approx(1.05**60, rel=0.01)
    assert recent["first_token_s"] == {"count": 0, "p50": None, "p95": None}


def test_rates_are_right_for_a_server_that_has_just_started(worker):
    recent = status_of([worker(1, started_at=NOW - 9)], {}, NOW)["recent"]
    assert recent["requests_per_s"] == 2.0
    assert recent["window_s"] == STEP_S * STEPS
