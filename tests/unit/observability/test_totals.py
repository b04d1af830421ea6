"""Totals count what happened, add up over processes, and stay small."""

from xwe.observability import totals as t
from xwe.observability.totals import MOST_MODELS, OTHER, Totals

CALL = ("provider:1", "m", "whole")


def test_a_call_is_counted_by_its_outcome(record):
    totals = Totals()
    for outcome in ("ok", "ok", "cancelled", "provider_auth"):
        totals.record_call(record(outcome))
    assert totals.counters[t.CALLS, *CALL, "ok"] == 2
    assert totals.counters[t.CALLS, *CALL, "cancelled"] == 1
    assert totals.counters[t.CALLS, *CALL, "failed"] == 1
    assert totals.counters[t.FAILURES, *CALL, "provider_auth"] == 1
    assert (t.FAILURES, *CALL, "cancelled") not in totals.counters


def test_retries_are_the_attempts_after_the_first(record):
    totals = Totals()
    totals.record_call(record(attempts=1))
    totals.record_call(record(attempts=3))
    assert totals.counters[t.RETRIES, *CALL] == 2


def test_a_call_that_was_refused_here_says_nothing_of_the_providers_speed(record):
    totals = Totals()
    totals.record_call(record("saturated", attempts=0))
    assert totals.counters[t.FAILURES, *CALL, "saturated"] == 1
    assert totals.histograms == {}


def test_an_answer_from_the_cache_is_a_call_and_says_nothing_of_the_providers_speed(record):
    totals = Totals()
    totals.record_call(record(attempts=0))
    totals.record_call(record("saturated", attempts=0))
    totals.record_call(record(attempts=1))
    assert totals.counters[t.CALLS, *CALL, "ok"] == 2
    assert totals.counters[t.CACHE_HITS, *CALL] == 1
    assert sum(totals.histograms[t.CALL_DURATION, *CALL][:-1]) == 1


def test_tokens_are_added_up(record):
    totals = Totals()
    totals.record_call(record(usage=(3, 5, 8)))
    totals.record_call(record(usage=(3, 5, 8)))
    assert totals.counters[t.TOKENS, "provider:1", "m", "input"] == 6
    assert totals.counters[t.TOKENS, "provider:1", "m", "output"] == 10


def test_a_duration_falls_into_the_first_bucket_that_holds_it(record):
    totals = Totals()
    for total_s in (0.05, 0.06, 1000.0):
        totals.record_call(record(total_s=total_s))
    cells = totals.histograms[t.CALL_DURATION, *CALL]
    assert cells[:2] == [1, 1]
    assert cells[-2] == 1  # beyond every bound
    assert cells[-1] == 1000.11


def test_made_up_model_names_cannot_fill_the_memory(record):
    totals = Totals()
    for number in range(MOST_MODELS * 3):
        totals.record_call(record(model=f"made-up-{number}"))
    assert len({series[2] for series in totals.counters}) == MOST_MODELS + 1
    assert totals.counters[t.CALLS, "provider:1", OTHER, "whole", "ok"] == MOST_MODELS * 2


def test_totals_of_two_processes_add_up(record):
    one, other = Totals(), Totals()
    one.record_call(record(total_s=1.0))
    other.record_call(record(total_s=2.0))
    other.record_call(record("provider_error", total_s=2.0))
    one.merge(Totals.from_rows(other.as_rows()))
    assert one.counters[t.CALLS, *CALL, "ok"] == 2
    assert one.counters[t.CALLS, *CALL, "failed"] == 1
    assert sum(one.histograms[t.CALL_DURATION, *CALL][:-1]) == 3
    assert sum(other.histograms[t.CALL_DURATION, *CALL][:-1]) == 2  # untouched
