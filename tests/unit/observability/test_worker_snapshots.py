"""Workers leave their figures for each other; those of the departed are kept."""

import os
from dataclasses import replace

import pytest

from xwe.observability import totals as t
from xwe.observability.blackboard import Blackboard
from xwe.observability.totals import Totals

OK = (t.CALLS, "provider:1", "m", "whole", "ok")


@pytest.fixture
def blackboard():
    it = Blackboard.create(os.getuid(), os.getgid())
    yield it
    it.remove()


@pytest.fixture
def figures(observation, record):
    """The figures of a worker with `pid` that has seen one call."""
    observation.observe_call(record())
    own = observation.figures()
    return lambda pid, start=1: replace(own, pid=pid, name=f"{pid}-{start}")


def all_calls(blackboard):
    workers, totals = blackboard.read()
    for worker in workers:
        totals.merge(worker.totals)
    return totals.counters.get(OK, 0)


def test_figures_are_read_as_they_were_left(blackboard, figures):
    blackboard.leave(figures(1))
    blackboard.leave(figures(2))
    workers, departed = blackboard.read()
    assert sorted(worker.pid for worker in workers) == [1, 2]
    assert workers[0].steps[-1].calls == 1
    assert workers[0].vitals.breaker == "closed"
    assert departed.counters == {}


def test_the_totals_of_a_worker_outlive_it(blackboard, figures):
    blackboard.leave(figures(1))
    blackboard.leave(figures(2))
    blackboard.bury(1)
    workers, _ = blackboard.read()
    assert [worker.pid for worker in workers] == [2]
    assert all_calls(blackboard) == 2


def test_a_worker_that_gets_the_pid_of_a_departed_one_is_another(blackboard, figures):
    blackboard.leave(figures(1))
    blackboard.bury(1)
    blackboard.leave(figures(1, start=2))
    assert all_calls(blackboard) == 2


def test_a_worker_that_departs_while_somebody_reads_counts_once(blackboard, figures, monkeypatch):
    """Forced into the moment after its own file was read, and before the departed are."""
    blackboard.leave(figures(1))
    read_departed = blackboard._read_departed

    def bury_first():
        monkeypatch.setattr(blackboard, "_read_departed", read_departed)
        blackboard.bury(1)
        return read_departed()

    monkeypatch.setattr(blackboard, "_read_departed", bury_first)
    assert all_calls(blackboard) == 1


def test_burying_a_worker_that_left_nothing_is_no_error(blackboard):
    blackboard.bury(4711)
    assert blackboard.read()[0] == []
    assert blackboard.read()[1].counters == Totals().counters


def test_nobody_else_can_read_it(blackboard):
    assert blackboard.directory.stat().st_mode & 0o077 == 0
    blackboard.remove()
    blackboard.remove()
    assert not blackboard.directory.exists()
