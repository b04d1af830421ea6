"""Percentiles from cells are near those of the durations themselves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.observability.percentiles import add_counts, cell_of, percentile_s


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
