"""SIGTERM while answers are being streamed: what each reader sees, and how the process ends."""

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from stream_client import kinds_of, post, reading, rejoining, text_of

from xwe.mock import Behaviour

STREAMS = 50
SHORT = Behaviour(text="ab " * 10, tokens_per_s=10)
ENDLESS = Behaviour(text="soon", fault="stall", after_pieces=1)


@pytest.fixture
def draining(serve):
    """A server of its own for the test, which ends it."""
    return lambda **environ: serve(**{"XWE_DRAIN_TIMEOUT": "3", **environ})


def test_fifty_streams_end_in_order_and_none_is_left_hanging(draining, mock_server):
    """Half of them can finish in time; the others are told to come back."""
    # Nothing else ends a silent answer: neither while the others are begun, nor afterwards.
    server = draining(LLM_IDLE_TIMEOUT="600", LLM_STREAM_TIMEOUT="600")
    mock_server.script(*(SHORT if index % 2 else ENDLESS for index in range(STREAMS)))
    with ExitStack() as stack, ThreadPoolExecutor(STREAMS) as pool:
        readers = []
        for _ in range(STREAMS):
            reader = stack.enter_context(reading(server.url, message="hi"))
            reader.seen = reader.until("text-delta")
            readers.append(reader)
        server.process.send_signal(signal.SIGTERM)
        rests = list(pool.map(list, readers))
    status = server.process.wait(60)
    seen = [reader.seen + rest for reader, rest in zip(readers, rests, strict=True)]
    assert all(reader.is_done for reader in readers)
    finished = [events for events in seen if kinds_of(events)[-1] == "finish"]
    told = [events for events in seen if kinds_of(events)[-1] == "data-shutdown"]
    assert len(finished) + len(told) == STREAMS
    assert len(told) >= STREAMS // 2
    assert all(text_of(events) == SHORT.text for events in finished)
    assert told[0][-1][1] == {
        "type": "data-shutdown",
        "data": {"retryable": True},
        "transient": True,
    }
    for events in seen:
        assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert status == 0
    assert "Unclosed" not in server.log
    assert "Traceback" not in server.log


def test_new_work_is_refused_at_once_while_the_old_goes_on(draining, wire):
    """On a connection that is open already; nobody listens for new ones.

    Its request has begun and lacks its body: an idle one is closed a moment after the signal.
    """
    body = b'{"message": "hi"}'
    goes_on = threading.Event()

    def answer(_, connection):
        connection.sendall(wire.stream_start + wire.chunk(wire.event("first, ")))
        goes_on.wait(60)
        last = wire.event("last", finish_reason="stop")
        connection.sendall(wire.chunk(last + wire.done) + wire.stream_end)

    model = wire.serve(answer)
    # However long the refusal takes: the drain ends with the old answer.
    server = draining(
        LLM_BASE_URL=model.url.removesuffix("/chat/completions"),
        LLM_IDLE_TIMEOUT="600",
        XWE_DRAIN_TIMEOUT="120",
    )
    with (
        reading(server.url, message="hi") as running,
        reading(server.url, "/health/live") as idle,
    ):
        running.until("text-delta")
        idle.response.read()
        idle.connection.putrequest("POST", "/api/llm/stream")
        idle.connection.putheader("Content-Length", len(body))
        idle.connection.putheader("Expect", "100-continue")
        idle.connection.endheaders()
        assert idle.connection.sock.recv(1, socket.MSG_PEEK)  # it is asked to go on
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            _knock_until_refused(server)
        idle.connection.send(body)
        response = idle.connection.getresponse()
        assert response.status == 503
        assert int(response.getheader("Retry-After")) >= 1
        assert b'"draining"' in response.read()
        goes_on.set()
        rest = list(running)
        assert text_of(rest) == "last"
        assert kinds_of(rest)[-1] == "finish"
    assert len(model.requests) == 1
    assert server.process.wait(60) == 0


def _knock_until_refused(server):
    while True:
        post(server.url, "/health/live")


def test_an_idle_server_ends_at_once_and_closes_its_connections(draining, mock_server):
    server = draining()
    mock_server.script(Behaviour(text="hi"))
    with reading(server.url, message="hi") as reader:
        list(reader)
    with rejoining(server.url, reader.stream_id) as again:
        list(again)
    assert server.stop() == 0
    assert "Unclosed" not in server.log
