"""One client cannot hold up the others, on real sockets under real gunicorn."""

import http.client
import os
import signal
import sys
import time

import pytest
from gunicorn.workers.gthread import ThreadWorker

from xwe.web.server.gunicorn_worker import Worker

SMALL = """
import os

def application(environ, start_response):
    body = environ["wsgi.input"].read() or str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

SLOW_POST = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhello"

# Whoever waits for a client that lingers, in whichever way, waits longer than any test.
LASTING = """
import gunicorn.util
import xwe.web.server.gunicorn_worker

gunicorn.util.close_graceful.__defaults__ = (600.0, 65_536)
xwe.web.server.gunicorn_worker.LINGER_S = 600.0
"""

TALKING = """
import os, socket

line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.connect(("127.0.0.1", int(os.environ["WITNESS"])))

class Endless:
    def __iter__(self):
        return self
    def __next__(self):
        return b"x" * 100_000
    def close(self):
        line.send(b"closed")

class Application:
    def begin_drain(self):
        line.send(b"drain")

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/endless":
            start_response("200 OK", [])
            return Endless()
        if environ["PATH_INFO"] == "/wait":
            line.send(b"started")
            body = line.recv(100)
        else:
            body = b"quick"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

application = Application()
"""


def ask(server, path="/"):
    """The body of one answer, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def read_to_end(client):
    """Everything until the other side closes."""
    return b"".join(iter(lambda: client.recv(10_000), b""))


def send_until_refused(client):
    """Send a byte now and then; raises when the other side has closed."""
    while True:
        client.sendall(b"y")
        time.sleep(0.05)


def connect_until_refused(server):
    """Connect again and again; raises when nobody listens any more."""
    while True:
        server.connect().close()


def test_clients_that_linger_after_the_close_hold_nobody_up(gunicorn):
    """By itself, gunicorn waits for each of them before it accepts anybody."""
    server = gunicorn(SMALL + LASTING)
    for lingering in server.connect_many(10):
        lingering.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert lingering.recv(10_000).startswith(b"HTTP/1.1 200")
        assert ask(server).isdigit()


def test_a_lingering_client_gets_its_reply_whole_and_is_closed_in_the_end(gunicorn):
    server = gunicorn(SMALL)
    with server.connect() as client:
        # More than the server reads before it answers, so that a plain close would reset.
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + b"y" * 50_000)
        reply = read_to_end(client)
        assert reply.startswith(b"HTTP/1.1 200")
        assert reply.rpartition(b"\r\n\r\n")[2].isdigit()
        # The server has closed its side; its waiting for ours ends after 2 s, with a reset.
        client.settimeout(60)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_until_refused(client)


def test_a_client_that_takes_nothing_is_cut_at_the_send_timeout(gunicorn, witness):
    server = gunicorn(TALKING, WITNESS=str(witness.port), XWE_SEND_TIMEOUT="0.5")
    with server.connect() as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert witness.hear() == "closed"
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log


def test_a_client_that_sends_slowly_is_not_cut(gunicorn):
    server = gunicorn(SMALL, XWE_SEND_TIMEOUT="0.2")
    with server.connect() as client:
        client.sendall(SLOW_POST)
        time.sleep(0.8)  # four send timeouts: the time is the subject
        client.sendall(b"world")
        assert read_to_end(client).endswith(b"helloworld")


def test_a_connection_is_kept_for_the_next_request(gunicorn):
    server = gunicorn(SMALL)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for _ in range(3):
        connection.request("POST", "/", b"again")
        response = connection.getresponse()
        assert response.getheader("Connection") == "keep-alive"
        assert response.read() == b"again"
        kept = connection.sock
    assert kept is not None
    connection.close()


def test_many_connections_at_one_instant_are_all_answered(gunicorn):
    server = gunicorn(SMALL)
    clients = server.connect_many(200)
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        assert client.recv(10_000).startswith(b"HTTP/1.1 200")


def test_running_out_of_descriptors_does_not_end_the_worker(start_server, tmp_path):
    (tmp_path / "app.py").write_text(SMALL)
    limited = 'ulimit -n 64 && exec "$0" -m gunicorn -c "$1" app:application'
    config = os.path.join(os.path.dirname(__file__), "../../../config/gunicorn.conf.py")  # noqa: PTH118, PTH120 - an argument of sh
    server = start_server(
        ["sh", "-c", limited, sys.executable, os.path.abspath(config)],  # noqa: PTH100 - as above
        LLM_PROVIDER="mock",
        LLM_BASE_URL="http://127.0.0.1:9/v1",
    ).wait_until_ready()
    worker = ask(server)
    clients = server.connect_many(80)
    while "No new connection can be accepted" not in server.log:
        assert server.process.poll() is None
        assert "Exception in worker process" not in server.log
    for client in clients:
        client.close()
    assert ask(server) == worker


def test_sigterm_lets_running_requests_finish_and_refuses_new_connections(gunicorn, witness):
    server = gunicorn(TALKING, WITNESS=str(witness.port))
    with server.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert witness.hear() == "started"
        server.signal(signal.SIGTERM)
        assert witness.hear() == "drain"
        # At once, not when the last request is done; one still in the backlog is reset.
        with pytest.raises(ConnectionError):
            connect_until_refused(server)
        witness.say("finished")
        reply = read_to_end(client)
    assert reply.endswith(b"finished")
    assert server.wait() == 0
    assert "Traceback" not in server.log


def test_a_signal_that_comes_while_the_parent_is_looked_for_is_not_lost(monkeypatch):
    worker = Worker.__new__(Worker)
    worker.alive = True

    def interrupted(self):
        self.alive = False  # as the handler of SIGTERM does
        return True

    monkeypatch.setattr(ThreadWorker, "is_parent_alive", interrupted)
    assert not worker.is_parent_alive()
    assert not worker.alive


def test_a_request_that_does_not_finish_ends_with_the_drain(gunicorn, witness):
    server = gunicorn(TALKING, WITNESS=str(witness.port), XWE_DRAIN_TIMEOUT="0.1")
    with server.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert witness.hear() == "started"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_ctrl_c_ends_at_once_also_while_a_request_runs(gunicorn, witness):
    server = gunicorn(TALKING, WITNESS=str(witness.port), XWE_DRAIN_TIMEOUT="60")
    with server.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert witness.hear() == "started"
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.wait() == 0
