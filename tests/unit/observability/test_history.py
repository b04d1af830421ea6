"""The last five minutes, in steps of five seconds, and percentiles from counted durations."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.observability.history import (
    STEP_S,
    STEPS,
    History,
    Step,
    add_counts,
    cell_of,
    percentile_s,
)


@pytest.fixture
def clock():
    class Clock:
        now = 1_000_002.0

        def __call__(self):
            return self.now

    return Clock()


def test_calls_fall_into_the_step_they_end_in(record, clock):
    history = History(clock)
    history.record_call(record())
    clock.now += STEP_S
    history.record_call(record("provider_error"))
    first, second = history.as_rows()
    assert (first["at"], second["at"]) == (1_000_000, 1_000_005)
    assert (first["calls"], first["failures"]) == (1, {})
    assert (second["calls"], second["failures"]) == (1, {"provider_error": 1})


def test_answers_from_the_cache_are_counted_among_the_calls(record, clock):
    history = History(clock)
    for call in (record(attempts=0), record("saturated", attempts=0), record(attempts=1)):
        history.record_call(call)
    (row,) = history.as_rows()
    assert (row["calls"], row["cached"]) == (3, 1)
    assert sum(row["total"].values()) == 1
    step = Step(row["at"])
    step.merge(Step.from_row(dict(row)))
    assert step.cached == 1


def test_what_is_too_old_is_forgotten(record, clock):
    history = History(clock)
    history.record_call(record())
    clock.now += STEP_S * STEPS
    assert [row["calls"] for row in history.as_rows()] == [0]


def test_memory_is_bounded(record, clock):
    history = History(clock)
    for _ in range(STEPS * 3):
        clock.now += STEP_S
        history.record_call(record())
    assert len(history.as_rows()) == STEPS


def test_a_clock_that_is_set_back_loses_nothing(record, clock):
    history = History(clock)
    history.record_call(record())
    clock.now -= 3600
    history.record_call(record())
    assert history.now().calls == 2


def test_a_step_crosses_processes_and_adds_up(record, clock):
    history = History(clock)
    history.record_call(record("provider_error", first_token_s=0.2))
    (row,) = history.as_rows()
    row["first_token"] = {str(cell): count for cell, count in row["first_token"].items()}  # JSON
    step = Step(1_000_000)
    step.merge(Step.from_row(dict(row)))
    step.merge(Step.from_row(dict(row)))
    assert step.calls == 2
    assert step.failures == {"provider_error": 2}
    assert list(step.first_token.values()) == [2]
    assert row["failures"] == {"provider_error": 1}  # untouched


def counts_of(durations):
    counts = {}
    for duration_s in durations:
        add_counts(counts, {cell_of(duration_s): 1})
    return counts


@given(
    st.lists(st.floats(0.001, 600), min_size=1, max_size=50),
    st.sampled_from([0.01, 0.5, 0.95, 1.0]),
)
def test_a_percentile_is_off_by_a_few_percent_at_most(durations, share):
    exact = sorted(durations)[math.ceil(share * len(durations)) - 1]
    assert percentile_s(counts_of(durations), share) == pytest.approx(exact, rel=0.031)


def test_nothing_measured_is_no_percentile():
    assert percentile_s({}, 0.5) is None


def test_no_time_at_all_is_a_duration_too():
    assert percentile_s(counts_of([0.0]), 0.5) == pytest.approx(0.0001, rel=0.05)
