"""The observation counts calls and requests from many threads, and checks the vitals."""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.observability import totals as t
from xwe.observability.observation import Observation
from xwe.observability.worker_snapshots import SnapshotDirectory, WorkerSnapshot


def test_no_call_is_lost_when_many_threads_report(observation, record):
    together = threading.Barrier(8)

    def report():
        together.wait()
        for _ in range(500):
            observation.request_began()
            observation.observe_call(record())
            observation.observe_request("/x", "GET", "2xx", 0.1)
            observation.request_ended()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(report) for _ in range(8)]:
            done.result()
    snapshot = observation.snapshot()
    assert snapshot.totals.counters[t.CALLS, "provider:1", "m", "whole", "ok"] == 4000
    assert snapshot.totals.counters[t.REQUESTS, "/x", "GET", "2xx"] == 4000
    assert sum(step.calls for step in snapshot.steps) == 4000
    assert snapshot.vitals.threads_busy == 0


def test_a_failed_call_is_one_warning_with_its_request(observation, record, caplog):
    observation.observe_call(record())
    observation.observe_call(record("provider_error"))
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert "request-1" in line.getMessage()
    assert "provider_error" in line.getMessage()


def test_vitals_come_from_the_client_and_the_requests(idle_client):
    busy = dict(
        idle_client,
        admission={"running": 3, "waiting": 2, "refused": 1},
        executor={"running": 4, "waiting": 5, "refused": 6, "threads": 4},
        breaker="open",
    )
    observation = Observation(clock=lambda: 1_000_002.0)
    observation.watch(lambda: busy)
    observation.request_began()
    vitals = observation.snapshot().vitals
    assert (vitals.in_flight, vitals.waiting, vitals.refused) == (7, 7, 7)
    assert (vitals.threads_busy, vitals.breaker) == (1, "open")
    (step,) = observation.snapshot().steps
    assert (step.in_flight, step.threads_busy) == (7, 1)


def test_a_last_snapshot_is_written_at_the_end(observation, record):
    directory = SnapshotDirectory.create(os.getuid(), os.getgid())
    observation.start(directory)
    observation.observe_call(record())
    observation.close()
    observation.close()
    (left,), _ = directory.read()
    directory.remove()
    assert left.pid == os.getpid()
    assert sum(step.calls for step in left.steps) == 1


class CountedWrites(SnapshotDirectory):
    """A directory that lets a test wait for attempts to write to it."""

    attempts = threading.Semaphore(0)

    def write(self, snapshot: WorkerSnapshot) -> None:
        self.attempts.release()
        super().write(snapshot)


def test_a_lost_directory_is_one_line_and_nothing_more(observation, caplog, monkeypatch):
    monkeypatch.setattr("xwe.observability.observation.CHECK_EVERY_S", 0.001)
    directory = CountedWrites.create(os.getuid(), os.getgid())
    directory.remove()
    observation.start(directory)
    for _ in range(3):
        assert directory.attempts.acquire(timeout=60)
    observation.close()
    assert len(caplog.records) == 1


def test_nothing_to_read_from_is_said_clearly():
    with pytest.raises(RuntimeError, match="watch"):
        Observation().snapshot()
