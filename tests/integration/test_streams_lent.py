"""Streams whose connections are lent to the loop: no threads held, nothing lost, nothing leaked."""

import http.client
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from stream_client import kinds_of, post, reading, rejoining, text_of

from xwe.mock import Behaviour

TEXT = "桥把两岸轻轻缝合，😀 and the river goes on. " * 4
SILENT = Behaviour(text=TEXT, fault="stall", after_pieces=3)
STREAMS = 200


@pytest.fixture(scope="module")
def server(serve):
    return serve(LLM_IDLE_TIMEOUT="600")  # nothing but a test ends a silent answer


def connect(server):
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def asking(version="1.1", *headers):
    body = b'{"message": "hi"}'
    lines = [f"POST /api/llm/stream HTTP/{version}", "Host: x", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def read_to_end(client):
    return b"".join(iter(lambda: client.recv(65_536), b""))


def worker_of(server):
    pid = server.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def threads(server):
    return len(list(Path(f"/proc/{worker_of(server)}/task").iterdir()))


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_open_streams_hold_no_threads(server, mock_server):
    mock_server.script(*[SILENT] * 30)
    with ExitStack() as stack:
        readers = []
        for _ in range(30):
            readers.append(stack.enter_context(reading(server.url, message="hi")))
            readers[-1].until("text-delta")
            if len(readers) == 10:
                before = threads(server)
        assert threads(server) < before + 10
        for reader in readers:
            assert post(server.url, f"/api/generations/{reader.stream_id}/stop")[0] == 200
            assert kinds_of(list(reader))[-1] == "abort"
            assert reader.is_done


def test_the_connection_serves_the_next_request(server, mock_server):
    mock_server.script(Behaviour(text=TEXT), Behaviour(text=TEXT))
    with reading(server.url, message="hi") as reader:
        assert text_of(list(reader)) == TEXT
        own = reader.connection.sock
        reader.connection.request("POST", "/api/llm/stream", b'{"message": "again"}')
        response = reader.connection.getresponse()
        assert response.read().endswith(b"data: [DONE]\n\n")
        assert reader.connection.sock is own


def test_a_request_that_came_early_is_answered_after_the_stream(server, mock_server):
    mock_server.script(Behaviour(text=TEXT, tokens_per_s=100))
    with connect(server) as client:
        last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        client.sendall(asking() + last)
        stream, end, rest = read_to_end(client).partition(b"\r\n0\r\n\r\n")
    assert stream.endswith(b"data: [DONE]\n\n")
    assert end
    assert rest.startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_for_the_close_is_closed_after_the_last_chunk(server, mock_server):
    mock_server.script(Behaviour(text="hi"))
    with connect(server) as client:
        client.sendall(asking("1.1", "Connection: close"))
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert body.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_an_http_1_0_client_gets_the_stream_without_chunks(server, mock_server):
    mock_server.script(Behaviour(text="hi"))
    with connect(server) as client:
        client.sendall(asking("1.0"))
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body.startswith(b"id: 1\ndata: ")
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_client_that_leaves_gives_its_place_back_at_once(serve, mock_server):
    server = serve(XWE_MAX_STREAMS="1", LLM_MAX_INFLIGHT="1", XWE_STREAM_HEARTBEAT="600")
    mock_server.script(SILENT)
    with reading(server.url, message="hi") as reader, rejoining(server.url, reader.stream_id):
        reader.until("text-delta")
        with rejoining(server.url, reader.stream_id) as third:
            assert third.response.status == 503
    status = 503
    while status == 503:
        with rejoining(server.url, reader.stream_id) as again:
            status = again.response.status
    assert status == 200
    assert post(server.url, f"/api/generations/{reader.stream_id}/stop")[0] == 200


def test_many_streams_leave_no_descriptor_and_no_miscount(serve, mock_server):
    """A worker that counted a connection too many would wait for it at its end, for long."""
    server = serve(XWE_DRAIN_TIMEOUT="200")
    mock_server.script(*[Behaviour(text="hi")] * (STREAMS + 2))
    with reading(server.url, message="hi") as reader:
        list(reader)
    worker = worker_of(server)
    before = descriptors(worker)
    for number in range(STREAMS):
        with reading(server.url, message="hi") as reader:
            if number % 4:
                assert kinds_of(list(reader))[-1] == "finish"
    with reading(server.url, "/health/live") as last:
        last.response.read()
    while descriptors(worker) > before + 1:  # the last ones are being closed
        post(server.url, "/health/live")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.log


def test_a_stream_is_counted_in_the_figures(server, mock_server):
    mock_server.script(Behaviour(text="hi"))
    with reading(server.url, message="hi") as reader:
        list(reader)
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("GET", "/metrics")
    figures = connection.getresponse().read().decode()
    connection.close()
    assert 'route="/api/llm/stream"' in figures
