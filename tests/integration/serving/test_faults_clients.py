"""What a client may do to a server and its neighbours: leave, read slowly, take nothing."""

import http.client
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.mock import Behaviour, MockServer

XWE_RUN = (sys.executable, "-m", "xwe.cli", "run")
READERS = 20
# More than the buffers of both sockets take, in few pieces, and less than is read of a reply.
LONG = ("word" + "\n" * 7000) * 1000
# As much as is kept of an answer; five times that is more than the buffers take.
KEPT = ("word" + "\n" * 1500) * 1000

ASK_PLAIN = b"GET /chat?prompt=hi HTTP/1.1\r\nHost: x\r\n\r\n"
ASK_EVENTS = (
    b'POST /api/llm/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n{"message": "hi"}'
)


@pytest.fixture
def model():
    with MockServer(Behaviour(text="an answer")) as server:
        yield server


@pytest.fixture
def serving(start_server, model):
    """Serves with the model, and whatever else is set."""

    def start(**environ):
        demo = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": model.base_url}
        return start_server(XWE_RUN, **demo | environ).wait_until_ready()

    return start


def ask(server, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def now(server):
    """The figures of this moment."""
    return json.loads(ask(server, "GET", "/api/llm/status")[1])["now"]


def complaints(server):
    """The log's warnings and errors; that a starved machine left the loop no time is none of it."""
    words = ("ERROR", "WARNING", "Traceback")
    lines = [line for line in server.log.splitlines() if any(word in line for word in words)]
    return [line for line in lines if "The event loop has been blocked" not in line]


def wait_until_only_we_hold_a_thread(server):
    """Every thread is free again, but for the one that answers this."""
    while now(server)["threads_busy"] > 1:
        pass


@pytest.mark.parametrize(
    ("asking", "on_disconnect", "goes_on"),
    [(ASK_EVENTS, "detach", True), (ASK_EVENTS, "cancel", False), (ASK_PLAIN, "detach", False)],
    ids=["stream-detach", "stream-cancel", "plain text"],
)
def test_readers_that_leave_free_their_threads_and_are_no_error(
    serving, model, asking, on_disconnect, goes_on
):
    """A live answer goes on without a reader, or not, as the setting says; plain text ends."""
    # So long that no answer is alone before its reader has come, be the machine ever so busy.
    server = serving(
        XWE_STREAM_ON_DISCONNECT=on_disconnect, XWE_STREAM_ALONE="4", LLM_IDLE_TIMEOUT="600"
    )
    # What goes on comes to its end; what does not has none.
    said = {"tokens_per_s": 20} if goes_on else {"fault": "stall", "after_pieces": 3}
    model.script(*[Behaviour(text="word " * 30, **said)] * READERS)
    for client in server.connect_many(READERS):
        client.sendall(asking)
    for client in server.clients:
        received = b""
        while b"word" not in received:
            received += client.recv(10_000)
        client.close()
    assert len(model.requests) == READERS
    wait_until_only_we_hold_a_thread(server)
    ended = "finished" if goes_on else "disconnected"
    model.wait_until(lambda: all(getattr(each, ended) for each in model.requests), 60)
    while now(server)["in_flight"]:
        pass
    assert ask(server, "POST", "/api/llm/chat", b'{"message": "hi"}')[0] == 200
    assert complaints(server) == []


def narrow(server):
    """A client whose own buffer is small, so that a server soon has to wait for it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    server.clients.append(client)
    return client


def ask_for_a_long_text(server, model):
    model.script(*[Behaviour(text=LONG)] * 4)
    return ASK_PLAIN


def ask_for_kept_answers(server, model):
    """One answer five times on one connection: of a new one, what is too much would be left out."""
    model.script(Behaviour(text=KEPT))
    with server.connect() as client:
        client.sendall(ASK_EVENTS)
        reader = client.makefile("rb")
        while not (line := reader.readline()).lower().startswith(b"x-generation-id:"):
            pass
        while b"[DONE]" not in reader.readline():
            pass
        reader.close()
    stream_id = line.split()[1].decode()
    return f"GET /api/generations/{stream_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 5


@pytest.mark.parametrize("prepare", [ask_for_a_long_text, ask_for_kept_answers])
def test_readers_that_take_nothing_are_cut_and_nobody_else_notices(serving, model, prepare):
    """There are five places for answers; the stuck ones hold four until they are cut."""
    server = serving(
        XWE_SEND_TIMEOUT="1",
        XWE_STREAM_HEARTBEAT="0.5",
        XWE_MAX_STREAMS="1",
        LLM_MAX_INFLIGHT="4",
    )
    asking = prepare(server, model)
    for _ in range(4):
        narrow(server).sendall(asking)
    for _ in range(10):
        assert ask(server, "GET", "/health/live")[0] == 200
        assert ask(server, "GET", "/")[0] == 200
    for client in server.clients:
        wait_until_cut(server, client)
    # Their places have come back.
    wait_until_only_we_hold_a_thread(server)
    with ThreadPoolExecutor(4) as pool:
        said = b'{"message": "hi"}'
        replies = pool.map(lambda _: ask(server, "POST", "/api/llm/stream", said), range(4))
        assert [(status, b'"finish"' in body) for status, body in replies] == [(200, True)] * 4
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log


def wait_until_cut(server, client):
    """Nothing is read: reading would let the server go on. A cut shows as a failed send."""
    client.settimeout(0)
    try:
        while True:
            client.send(b"\r\n")  # nothing, before a request
            assert ask(server, "GET", "/health/live")[0] == 200
    except (BrokenPipeError, ConnectionResetError):
        return
