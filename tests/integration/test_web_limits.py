"""What the server refuses, under the real server: too much, malformed, foreign, too late."""

import contextlib
import http.client
import signal
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from xwe.mock import Behaviour, MockServer

ROUTES = ["/api/llm/chat", "/api/llm/conversation", "/api/llm/batch", "/chat"]


def post(server: Any, path: str, body: Any, **headers: str) -> requests.Response:
    return requests.post(f"{server.url}{path}", data=body, headers=headers, timeout=60)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"message": "\xff"}', "UTF-8"),
        (b'{"message": "\x00"}', "control character"),
        (b'{"message": "\\ud800"}', "surrogate"),
        (b'{"message":' + b"[" * 100_000, "depth"),
        (b'["message"]', "must be a JSON object"),
    ],
    ids=["empty", "cut off", "utf-8", "nul", "surrogate", "depth", "list"],
)
def test_a_malformed_body_is_a_400_that_names_the_problem(
    app_server: Any, path: str, body: bytes, problem: str
) -> None:
    response = post(app_server, path, body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"
    assert problem in response.json()["error"]["message"]


@pytest.mark.parametrize("query", ["", "prompt=", "prompt=%ff", "prompt=%00", "prompt=%ED%A0%80"])
def test_a_malformed_query_is_a_400(app_server: Any, query: str) -> None:
    response = requests.get(f"{app_server.url}/chat?{query}", timeout=60)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


def test_a_body_of_ten_megabytes_is_refused(app_server: Any) -> None:
    response = post(app_server, "/api/llm/chat", b'{"message": "' + b"x" * 10_000_000 + b'"}')
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_a_chunked_body_of_ten_megabytes_is_refused_too(app_server: Any) -> None:
    """It announces no length: the limit is found while reading."""
    pieces = (b"x" * 100_000 for _ in range(100))
    response = post(app_server, "/api/llm/chat", pieces)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_a_small_chunked_body_is_read(app_server: Any, mock_server: MockServer) -> None:
    response = post(app_server, "/api/llm/chat", iter([b'{"mess', b'age": "hi"}']))
    assert response.status_code == 200
    assert mock_server.requests[-1].body["messages"][0]["content"] == "hi"


@pytest.mark.parametrize("ending", [b"", b"zz\r\n"], ids=["gone", "bad chunk"])
def test_a_body_that_breaks_off_is_nobodys_error(app_server: Any, ending: bytes) -> None:
    address = urlsplit(app_server.url)
    head = f"POST /api/llm/chat HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(head.encode() + b"5\r\nhello\r\n" + ending)
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # a server that drops the rest of it
            client.recv(65_536)
    assert requests.get(f"{app_server.url}/health/live", timeout=60).ok
    assert "ERROR" not in app_server.log


def test_a_slow_body_does_not_hold_up_the_loop(app_server: Any) -> None:
    """Bodies are read in the request's own thread: somebody else's answer does not wait."""
    address = urlsplit(app_server.url)
    head = f"POST /api/llm/chat HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(head.encode() + b'{"message": ')
        assert post(app_server, "/api/llm/chat", b'{"message": "hi"}').status_code == 200


@pytest.mark.parametrize("path", ROUTES)
def test_a_foreign_origin_is_refused(app_server: Any, mock_server: MockServer, path: str) -> None:
    response = post(app_server, path, b"{}", Origin="https://evil.test")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "foreign_origin")
    foreign = {"Sec-Fetch-Site": "cross-site"}
    address = f"{app_server.url}/chat?prompt=hi"
    assert requests.get(address, headers=foreign, timeout=60).status_code == 403
    assert mock_server.requests == []


def test_a_login_server_answers_to_its_token(
    serve: Callable[..., Any], mock_server: MockServer
) -> None:
    server = serve(XWE_ACCESS="login", XWE_API_TOKEN="t0ken-abc")
    body = b'{"message": "hi"}'
    assert post(server, "/api/llm/chat", body).status_code == 401
    assert post(server, "/api/llm/chat", body, Authorization="Bearer wrong").status_code == 401
    assert mock_server.requests == []
    right = post(server, "/api/llm/chat", body, Authorization="Bearer t0ken-abc")
    assert right.status_code == 200
    assert requests.get(server.url, timeout=60).ok  # the page itself asks nobody for a token


def test_a_full_server_refuses_at_once_and_its_health_still_answers(
    serve: Callable[..., Any], mock_server: MockServer
) -> None:
    """One place, no queue: a stream holds the place, and gives it back when its reader leaves."""
    server = serve(LLM_MAX_INFLIGHT="1", LLM_ASYNC_QUEUE_SIZE="0", LLM_IDLE_TIMEOUT="600")
    mock_server.script(Behaviour(text="one two three four", fault="stall", after_pieces=2))
    holder = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    holder.request("GET", "/chat?prompt=hi")
    response = holder.getresponse()
    assert response.read1()

    for path, body in (("/api/llm/chat", b'{"message": "hi"}'), ("/chat", b'{"prompt": "hi"}')):
        refused = post(server, path, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "saturated")
        assert refused.json()["error"]["retryable"] is True
        assert int(refused.headers["Retry-After"]) >= 1
    batch = post(server, "/api/llm/batch", b'{"prompts": ["a", "b"]}').json()["results"]
    assert [item["error"]["code"] for item in batch] == ["saturated", "saturated"]
    assert requests.get(f"{server.url}/health/live", timeout=60).status_code == 200
    ready = ask_if_ready(server)
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["queue_full"])

    response.close()
    holder.close()
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected, 60)
    ends_at = time.monotonic() + 60
    while ask_if_ready(server).status_code != 200:  # the model is let go of before the place is
        assert time.monotonic() < ends_at
    assert post(server, "/api/llm/chat", b'{"message": "hi"}').status_code == 200


def ask_if_ready(server: Any) -> requests.Response:
    return requests.get(f"{server.url}/health/ready", timeout=60)


def test_a_stopping_server_finishes_what_runs(
    serve: Callable[..., Any], mock_server: MockServer
) -> None:
    server = serve()
    text = "word " * 20
    mock_server.script(Behaviour(text=text, tokens_per_s=40))
    reader = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    reader.request("GET", "/chat?prompt=hi")
    response = reader.getresponse()
    received = response.read1()
    server.process.send_signal(signal.SIGTERM)
    received += response.read()
    reader.close()
    assert received.decode() == text
    assert server.process.wait(60) == 0
    assert "Unclosed" not in server.log
