"""Workers read each other's snapshots; the totals of those that exited stay."""

import os
from dataclasses import replace

import pytest

from xwe.observability import totals as t
from xwe.observability.totals import Totals
from xwe.observability.worker_snapshots import SnapshotDirectory

OK = (t.CALLS, "provider:1", "m", "whole", "ok")


@pytest.fixture
def directory():
    it = SnapshotDirectory.create(os.getuid(), os.getgid())
    yield it
    it.remove()


@pytest.fixture
def snapshot(observation, record):
    """The snapshot of a worker with `pid` that has counted one call."""
    observation.observe_call(record())
    own = observation.snapshot()
    return lambda pid, start=1: replace(own, pid=pid, name=f"{pid}-{start}")


def all_calls(directory):
    workers, totals = directory.read()
    for worker in workers:
        totals.merge(worker.totals)
    return totals.counters.get(OK, 0)


def test_snapshots_are_read_as_they_were_written(directory, snapshot):
    directory.write(snapshot(1))
    directory.write(snapshot(2))
    workers, exited = directory.read()
    assert sorted(worker.pid for worker in workers) == [1, 2]
    assert workers[0].steps[-1].calls == 1
    assert workers[0].vitals.breaker == "closed"
    assert exited.counters == {}


def test_the_totals_of_a_worker_outlive_it(directory, snapshot):
    directory.write(snapshot(1))
    directory.write(snapshot(2))
    directory.retire(1)
    workers, _ = directory.read()
    assert [worker.pid for worker in workers] == [2]
    assert all_calls(directory) == 2


def test_a_worker_that_reuses_a_pid_is_another_worker(directory, snapshot):
    directory.write(snapshot(1))
    directory.retire(1)
    directory.write(snapshot(1, start=2))
    assert all_calls(directory) == 2


def test_a_worker_that_exits_during_a_read_counts_once(directory, snapshot, monkeypatch):
    """Forced to happen after its own file is read, and before the totals of the exited are."""
    directory.write(snapshot(1))
    read_exited = directory._read_exited

    def retire_first():
        monkeypatch.setattr(directory, "_read_exited", read_exited)
        directory.retire(1)
        return read_exited()

    monkeypatch.setattr(directory, "_read_exited", retire_first)
    assert all_calls(directory) == 1


def test_retiring_a_worker_without_a_snapshot_is_no_error(directory):
    directory.retire(4711)
    assert directory.read()[0] == []
    assert directory.read()[1].counters == Totals().counters


def test_nobody_else_can_read_it(directory):
    assert directory.directory.stat().st_mode & 0o077 == 0
    directory.remove()
    directory.remove()
    assert not directory.directory.exists()
