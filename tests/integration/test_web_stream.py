"""GET /chat under the real server: pieces as they come, and every way that a stream can end."""

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from xwe.mock import Behaviour, MockServer

ONCE = {"XWE_MAX_LLM_RETRIES": "1", "LLM_BREAKER_FAILURES": "1000"}
TEXT = "桥把两岸轻轻缝合，😀 and the river goes on. " * 4


@pytest.fixture(scope="module", params=["aiohttp", "requests", "openai"])
def server(request: pytest.FixtureRequest, serve: Callable[..., Any]) -> Any:
    # Idle for so long only after a stall: a busy machine takes its time.
    return serve(LLM_TRANSPORT=request.param, LLM_IDLE_TIMEOUT="12", **ONCE)


@pytest.fixture(scope="module", params=["aiohttp", "requests", "openai"])
def impatient_server(request: pytest.FixtureRequest, serve: Callable[..., Any]) -> Any:
    """Does not wait long for a model that stalls."""
    return serve(LLM_TRANSPORT=request.param, LLM_IDLE_TIMEOUT="2", **ONCE)


@pytest.fixture(scope="module", params=["aiohttp", "openai"])
def patient_server(request: pytest.FixtureRequest, serve: Callable[..., Any]) -> Any:
    """Waits minutes for a silent model: whatever ends sooner was ended by something else.

    Without `requests`, whose thread hears of nothing while it waits for the model.
    """
    forever = dict.fromkeys(("FIRST_TOKEN", "IDLE", "STREAM"), "600")
    limits = {f"LLM_{name}_TIMEOUT": seconds for name, seconds in forever.items()}
    return serve(LLM_TRANSPORT=request.param, **limits)


@contextmanager
def asking(server: Any, prompt: str = "hi") -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        connection.request("GET", f"/chat?prompt={quote(prompt)}")
        yield connection.getresponse()
    finally:
        connection.close()


def test_an_answer_is_plain_text_that_no_proxy_may_hold_back(
    server: Any, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=TEXT))
    with asking(server, "你好") as response:
        assert response.read().decode() == TEXT
    assert response.status == 200
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert response.getheader("Cache-Control") == "no-cache, no-transform"
    assert response.getheader("X-Accel-Buffering") == "no"
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert mock_server.requests[-1].body["messages"] == [{"role": "user", "content": "你好"}]


def test_the_first_piece_arrives_before_the_model_is_done(
    server: Any, mock_server: MockServer
) -> None:
    """The model stops after three pieces and waits: had anybody gathered, nothing would come."""
    mock_server.script(Behaviour(text=TEXT, fault="stall", after_pieces=3))
    with asking(server) as response:
        assert TEXT.startswith(response.read1().decode())
        assert not mock_server.requests[-1].finished


def chunks_of(body: bytes) -> list[bytes]:
    """The chunks of a body as they were written, without the empty one at its end."""
    chunks = []
    while body:
        length, _, body = body.partition(b"\r\n")
        size = int(length, 16)
        chunks.append(body[:size])
        body = body[size + 2 :]
    assert chunks.pop() == b""
    return chunks


def test_pieces_that_come_close_together_are_written_together(
    server: Any, mock_server: MockServer
) -> None:
    """A quick model's answer is hundreds of pieces; each write is whole characters."""
    text = TEXT * 5
    mock_server.script(Behaviour(text=text))
    address = urlsplit(server.url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        client.sendall(
            f"GET /chat?prompt=hi HTTP/1.1\r\nHost: {address.netloc}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        while some := client.recv(65_536):
            received += some
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"chunked" in head
    chunks = chunks_of(body)
    assert "".join(chunk.decode() for chunk in chunks) == text
    assert len(chunks) < len(text) / 20


@pytest.mark.parametrize("write_bytes", [1, 7])
def test_characters_survive_any_cutting_of_the_wire(
    server: Any, mock_server: MockServer, write_bytes: int
) -> None:
    """Every chunk that we send is whole characters, however the model's bytes were cut."""
    mock_server.script(Behaviour(text="雾😀中桥", write_bytes=write_bytes))
    with asking(server) as response:
        received = b""
        while chunk := response.read1():
            chunk.decode()
            received += chunk
    assert received.decode() == "雾😀中桥"


def test_a_long_prompt_or_a_conversation_goes_into_a_body(
    server: Any, mock_server: MockServer
) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    said = '[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]'
    connection.request("POST", "/chat", f'{{"prompt": "三", "messages": {said}}}'.encode())
    assert connection.getresponse().read()
    connection.close()
    roles = [message["role"] for message in mock_server.requests[-1].body["messages"]]
    assert roles == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (Behaviour(fault="status", status=401), 502),
        (Behaviour(fault="status", status=429, retry_after_s=3), 503),
        (Behaviour(fault="reset"), 502),
        (Behaviour(fault="html"), 502),
    ],
    ids=lambda value: getattr(value, "fault", None),
)
def test_an_error_before_the_first_word_is_a_status(
    server: Any, mock_server: MockServer, behaviour: Behaviour, status: int
) -> None:
    mock_server.script(behaviour)
    with asking(server) as response:
        body = response.read()
    assert response.status == status
    assert response.getheader("Content-Type") == "application/json"
    assert b'"error"' in body


@pytest.mark.parametrize("fault", ["close", "reset", "truncate", "malformed_json"])
def test_an_error_after_it_cuts_the_body_off(
    server: Any, mock_server: MockServer, fault: Any
) -> None:
    """No word of the error is in the text, and the body has no proper end: a reader can tell."""
    assert_cut_off(server, mock_server, fault)


def test_a_stall_after_it_cuts_the_body_off_too(
    impatient_server: Any, mock_server: MockServer
) -> None:
    assert_cut_off(impatient_server, mock_server, "stall")


def assert_cut_off(server: Any, mock_server: MockServer, fault: Any) -> None:
    mock_server.script(Behaviour(text=TEXT, fault=fault, after_pieces=5))
    with asking(server) as response, pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert response.status == 200
    partial = cut.value.partial.decode()
    assert partial
    assert TEXT.startswith(partial)
    assert "Traceback" not in server.log


def test_a_reader_who_leaves_stops_a_silent_model(
    patient_server: Any, mock_server: MockServer
) -> None:
    """Nothing is being written, so no failed write can tell."""
    mock_server.script(Behaviour(text=TEXT, fault="stall", after_pieces=1))
    with asking(patient_server) as response:
        response.read1()
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    assert "ERROR" not in patient_server.log


def test_a_reader_who_leaves_before_the_first_word_stops_the_model_too(
    patient_server: Any, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(fault="no_headers"))
    address = urlsplit(patient_server.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(f"GET /chat?prompt=hi HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        mock_server.wait_until(lambda: mock_server.requests)
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    assert "ERROR" not in patient_server.log


def test_the_connection_is_good_for_the_next_question(server: Any, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text="one"), Behaviour(text="two"))
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    answers = []
    for _ in range(2):
        connection.request("GET", "/chat?prompt=hi")
        sock = connection.sock
        answers.append(connection.getresponse().read())
    assert answers == [b"one", b"two"]
    assert connection.sock is sock
    connection.close()
