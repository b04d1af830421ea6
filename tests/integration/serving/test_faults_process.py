"""What may happen to a worker process under gunicorn, with the real application in it."""

import http.client
import json
import os
import signal
import sys
from contextlib import ExitStack

import pytest

from xwe.mock import Behaviour, MockServer

XWE_RUN = (sys.executable, "-m", "xwe.cli", "run")

REAL = """
import os
import socket
import threading

from xwe.core.concurrency.bridge import async_route
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.observability.logs import configure_logging
from xwe.settings import load_settings
from xwe.web import create_app

settings = load_settings()
configure_logging(settings)
application = create_app(settings)
"""

BLOCKING = """
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.connect(("127.0.0.1", int(os.environ["WITNESS"])))

@application.get("/block")
@async_route
async def somebody_who_blocks():
    line.send(b"blocked")
    line.recv(100)
    return "done"
"""

WARMED_UP = """
client = application.services.client
assert client.chat("warm up") == "an answer"
master, inherited = os.getpid(), get_loop_thread()
assert inherited.ident is not None

@application.get("/where")
@async_route
async def where_am_i():
    own = get_loop_thread()
    assert os.getpid() != master
    assert own is not inherited
    assert inherited.is_closed
    assert own.is_current()
    return {"worker": os.getpid(), "threads": [each.name for each in threading.enumerate()]}
"""


@pytest.fixture
def model():
    with MockServer(Behaviour(text="an answer")) as server:
        yield server


def ask(server, path, said=None):
    """Status and body, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        body = None if said is None else json.dumps(said)
        connection.request("GET" if said is None else "POST", path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def gauge(server, name):
    """The worker's figure."""
    lines = ask(server, "/metrics")[1].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + "{"))


def not_ready_for(server):
    """The reasons against giving it work; None when there are none."""
    return json.loads(ask(server, "/health/ready")[1]).get("reasons")


def worker_of(server):
    """The process id of the only worker."""
    (worker,) = json.loads(ask(server, "/api/llm/status")[1])["workers"]
    return worker["pid"]


def test_what_blocks_the_loop_is_measured_logged_and_named(gunicorn, witness):
    """With the real threshold: the line comes while the loop is still blocked."""
    server = gunicorn(REAL + BLOCKING, WITNESS=str(witness.port))
    with server.connect() as client:
        client.sendall(b"GET /block HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert witness.hear() == "blocked"
        while "in somebody_who_blocks" not in server.log:
            assert ask(server, "/health/live")[0] == 200
        assert "The event loop has been blocked" in server.log
        status, body = ask(server, "/health/ready")
        assert (status, json.loads(body)["reasons"]) == (503, ["loop_blocked"])
        lag_s = gauge(server, "xwe_loop_lag_seconds")
        while gauge(server, "xwe_loop_lag_seconds") <= lag_s:
            pass  # it grows as long as the loop is blocked
        assert lag_s >= 1.5
        witness.say("go on")
        assert client.makefile("rb").read().endswith(b"done")
    while ask(server, "/health/ready")[0] != 200:
        pass  # until the next look at the loop
    # One line for the one who blocks; a starved loop may have been late for itself as well.
    lines = [line for line in server.log.splitlines() if "The event loop has been blocked" in line]
    assert sum("in somebody_who_blocks" in line for line in lines) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_was_forked_after_the_loop_had_started_has_its_own(gunicorn, model, workers):
    """The application is made, and asks the model, in the master (--preload)."""
    server = gunicorn(
        REAL + WARMED_UP,
        "--preload",
        LLM_BASE_URL=model.base_url,
        XWE_WEB_WORKERS=workers,
    )
    assert len(model.requests) == 1
    seen = set()
    while len(seen) < int(workers):
        status, body = ask(server, "/where")
        assert status == 200, server.log
        where = json.loads(body)
        seen.add(where["worker"])
        assert where["threads"].count("xwe-loop") == 1
        assert ask(server, "/api/llm/chat", {"message": "hi"})[0] == 200
        assert ask(server, "/chat?prompt=hi") == (200, b"an answer")
    os.kill(seen.pop(), signal.SIGKILL)  # the one in its place is forked from the same master
    while len(seen) < int(workers):
        seen.add(json.loads(ask(server, "/where")[1])["worker"])
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "Traceback" not in server.log


def test_a_killed_worker_is_replaced_and_its_clients_are_told_by_a_cut(start_server, model):
    server = start_server(XWE_RUN, LLM_PROVIDER="mock", LLM_BASE_URL=model.base_url)
    server.wait_until_ready()
    killed = worker_of(server)
    stalling = Behaviour(text="one two three four", fault="stall", after_pieces=2)
    model.script(stalling, stalling)
    with ExitStack() as stack, server.connect() as plain, server.connect() as events:
        plain.sendall(b"GET /chat?prompt=hi HTTP/1.1\r\nHost: x\r\n\r\n")
        events.sendall(
            b"POST /api/llm/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n"
            b'{"message": "hi"}'
        )
        readers = [stack.enter_context(client.makefile("rb")) for client in (plain, events)]
        for reader in readers:
            assert reader.readline().startswith(b"HTTP/1.1 200")
            while reader.readline().strip():
                pass  # the head's last line may look like a body's end: an id may end in a zero
            assert int(reader.readline(), 16)  # the answer has begun
        model.wait_until(lambda: len(model.requests) == 2)  # each took its part of the script
        os.kill(killed, signal.SIGKILL)
        for reader in readers:
            rest = reader.read()
            assert not rest.endswith(b"0\r\n\r\n")  # no proper end, so that nobody takes it for one
            assert b"[DONE]" not in rest
    model.wait_until(lambda: all(request.disconnected for request in model.requests), 60)
    assert ask(server, "/api/llm/chat", {"message": "hi"})[0] == 200
    assert worker_of(server) != killed
    while ask(server, "/health/ready")[0] != 200:
        pass  # where the machine is busy, a loop may be late for a moment
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_with_every_thread_of_the_pool_taken_new_calls_are_refused_and_health_answers(
    start_server,
):
    """Where each call blocks a thread of the pool (requests): two run, one waits."""
    with MockServer(Behaviour(fault="no_headers")) as model:
        server = start_server(
            XWE_RUN,
            LLM_PROVIDER="mock",
            LLM_BASE_URL=model.base_url,
            LLM_TRANSPORT="requests",
            LLM_ASYNC_WORKERS="2",
            LLM_ASYNC_QUEUE_SIZE="1",
            LLM_FIRST_TOKEN_TIMEOUT="600",
            LLM_ASYNC_TIMEOUT="600",
            XWE_DRAIN_TIMEOUT="0.1",
        ).wait_until_ready()
        for client in server.connect_many(3):
            client.sendall(
                b"POST /api/llm/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n"
                b'{"message": "hi"}'
            )
        # Until all three are there; a starved loop may be another reason for a moment.
        while not_ready_for(server) != ["queue_full"]:
            pass
        model.wait_until(lambda: len(model.requests) == 2, 60)
        for _ in range(20):
            status, body = ask(server, "/api/llm/chat", {"message": "hi"})
            assert (status, json.loads(body)["error"]["code"]) == (503, "saturated")
            assert ask(server, "/health/live")[0] == 200
        assert "queue_full" in not_ready_for(server)
        # Nobody has been answered meanwhile: the refusals did not wait for a place.
        assert len(model.requests) == 2
        assert not any(request.finished or request.disconnected for request in model.requests)
        assert gauge(server, "xwe_pool_running") == 2
