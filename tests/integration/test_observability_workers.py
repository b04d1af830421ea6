"""Figures over several worker processes, from whichever of them is asked."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
import requests

from xwe.observability.totals import CALLS
from xwe.observability.worker_snapshots import PREFIX, SHARED_MEMORY, SnapshotDirectory

OK = 'outcome="ok"'
PATIENCE_S = 60.0
PARENT = SHARED_MEMORY if SHARED_MEMORY.exists() else Path(tempfile.gettempdir())


@pytest.fixture(scope="module")
def server(serve):
    return serve(XWE_WEB_WORKERS="2")


def get(server, path):
    """One request on a connection of its own, so that any worker may answer."""
    return requests.get(server.url + path, timeout=60)


def until(condition, what):
    """Ask again and again: another process has to get there."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
    pytest.fail(f"not within {PATIENCE_S} s: {what}")


def counted(server):
    """The calls that one scrape counts."""
    lines = get(server, "/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("xwe_llm_calls_total") and OK in line
    )


def in_snapshots(server):
    """The calls in the snapshots that the workers have written."""
    (directory,) = PARENT.glob(f"{PREFIX}{server.process.pid}-*")
    return sum(
        value
        for worker in SnapshotDirectory(directory).read()[0]
        for series, value in worker.totals.counters.items()
        if series[0] == CALLS
    )


def ask(server):
    reply = requests.post(server.url + "/api/llm/chat", json={"message": "hi"}, timeout=60)
    assert reply.status_code == 200


def workers(server):
    return {worker["pid"]: worker for worker in get(server, "/api/llm/status").json()["workers"]}


def test_every_worker_answers_for_all_and_a_dead_one_still_counts(server):
    both = until(lambda: len(found := workers(server)) == 2 and found, "two workers")
    for _ in range(10):
        ask(server)
    until(lambda: counted(server) == 10, "all calls are counted")
    # A killed worker takes with it what its last snapshot does not hold.
    until(lambda: in_snapshots(server) == 10, "all calls are in the snapshots")
    # Whichever worker answers: each has read the latest snapshots.
    until(lambda: [counted(server) for _ in range(20)] == [10] * 20, "all workers agree")
    assert all(worker["uptime_s"] > 0 for worker in both.values())

    os.kill(min(both), signal.SIGKILL)
    replaced = until(
        lambda: len(found := workers(server)) == 2 and min(both) not in found and list(found),
        "a new worker in its place",
    )
    assert max(both) in replaced
    until(lambda: [counted(server) for _ in range(6)] == [10] * 6, "nothing was lost")


def test_the_history_is_that_of_all_workers(server):
    before = get(server, "/api/llm/status").json()["recent"]["requests"]
    for _ in range(10):
        get(server, "/health/live")
    until(
        lambda: get(server, "/api/llm/status").json()["recent"]["requests"] >= before + 10,
        "all requests are in the history",
    )


def test_nothing_is_left_behind_by_a_server_that_ends(serve):
    server = serve()
    ask(server)
    own = f"{PREFIX}{server.process.pid}-*"
    assert len(list(PARENT.glob(own))) == 1
    assert server.stop() == 0
    assert list(PARENT.glob(own)) == []
