"""Every fault of the model server, seen on the wire."""

import http.client
import json
import socket
from pathlib import Path

import pytest

from xwe.mock import Behaviour, MockServer

TEXT = "一二三四五"
MESSAGES = [{"role": "user", "content": "hi"}]
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def module_server():
    with MockServer(Behaviour(text=TEXT)) as server:
        yield server


@pytest.fixture
def server(module_server):
    module_server.reset()
    return module_server


class Wire:
    """A raw connection that has sent one chat request."""

    def __init__(self, server, *, stream=True, **mock):
        address = server.base_url.removeprefix("http://").removesuffix("/v1")
        self._connection = http.client.HTTPConnection(address, timeout=20)
        body = {"model": "m", "messages": MESSAGES, "stream": stream, "mock": mock}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body))
        self.socket = self._connection.sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()
        self.socket.close()

    def response(self):
        return self._connection.getresponse()

    def body(self):
        """The whole body, which must end properly."""
        with self.response() as response:
            return response.read()

    def raw(self):
        """The bytes until the connection ends, and how it ends: "closed" or "reset"."""
        received = b""
        while True:
            try:
                part = self.socket.recv(65_536)
            except ConnectionResetError:
                return received, "reset"
            if not part:
                return received, "closed"
            received += part


def read_until(wire, mark):
    received = b""
    while mark not in received:
        part = wire.socket.recv(65_536)
        assert part, received
        received += part
    return received


def said(body):
    """The text, the finish_reasons and the payloads of a stream's body."""
    payloads = [
        line.removeprefix("data: ") for line in body.decode().splitlines() if line[:5] == "data:"
    ]
    text, reasons = "", []
    for payload in payloads:
        if payload == "[DONE]":
            continue
        for choice in json.loads(payload)["choices"]:
            text += choice["delta"].get("content") or ""
            reasons.append(choice["finish_reason"])
    return text, [reason for reason in reasons if reason], payloads


def test_without_a_fault_all_is_there(server):
    with Wire(server) as wire:
        text, reasons, payloads = said(wire.body())
    assert (text, reasons, payloads[-1]) == (TEXT, ["stop"], "[DONE]")
    assert server.requests[0].finished


@pytest.mark.parametrize("stream", [True, False])
def test_no_headers_is_silence_until_the_client_leaves(server, stream):
    with Wire(server, stream=stream, fault="no_headers") as wire:
        server.wait_until(lambda: server.requests)
        wire.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            wire.socket.recv(1)
        assert not server.requests[0].disconnected
    server.wait_until(lambda: server.requests[0].disconnected)
    assert not server.requests[0].finished


@pytest.mark.parametrize("pieces", [0, 2])
def test_a_stall_leaves_the_connection_open(server, pieces):
    with Wire(server, fault="stall", after_pieces=pieces) as wire:
        # The role's chunk is not a piece; with no pieces only the headers come.
        received = read_until(wire, TEXT[pieces - 1].encode() if pieces else b"\r\n\r\n")
        assert TEXT[pieces].encode() not in received
        assert (b"data:" in received) == bool(pieces)
        wire.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            wire.socket.recv(1)
    server.wait_until(lambda: server.requests[0].disconnected)


def test_a_plain_reply_stalls_too(server):
    with Wire(server, stream=False, fault="stall", after_pieces=2) as wire:
        received = read_until(wire, b'"id":"chatcmpl')
        assert b"content" not in received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("stream", [True, False])
def test_a_drip_gives_the_whole_reply_byte_by_byte(server, stream):
    with Wire(server, stream=stream, fault="drip", after_pieces=1, interval_s=0) as wire:
        raw = read_until(wire, b"\r\n0\r\n\r\n")
    assert raw.count(b"\r\n1\r\n") > 100
    assert server.requests[0].finished


def test_drops_fall_at_their_interval(server):
    with Wire(server, fault="drip", interval_s=600) as wire:
        received = read_until(wire, b"\r\n\r\n")
        wire.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            wire.socket.recv(1)
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["reset", "close"])
def test_a_connection_that_ends_before_the_first_byte(server, fault, stream):
    with Wire(server, stream=stream, fault=fault) as wire:
        assert wire.raw() == (b"", "reset" if fault == "reset" else "closed")
    server.wait_until(lambda: server.requests[0].finished)
    assert not server.requests[0].disconnected


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["reset", "close"])
def test_a_connection_that_ends_after_some_pieces(server, fault, stream):
    with Wire(server, stream=stream, fault=fault, after_pieces=2) as wire:
        received, end = wire.raw()
    assert end == ("reset" if fault == "reset" else "closed")
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"\r\n0\r\n\r\n")
    if stream:
        assert TEXT[1].encode() in received
        assert TEXT[2].encode() not in received


@pytest.mark.parametrize("pieces", [0, 3])
def test_a_truncated_stream_ends_in_order_without_its_terminator(server, pieces):
    with Wire(server, fault="truncate", after_pieces=pieces) as wire:
        body = wire.body()
    text, reasons, payloads = said(body)
    assert (text, reasons) == (TEXT[:pieces], [])
    assert "[DONE]" not in payloads


def test_a_truncated_tool_call_is_half_a_tool_call(server):
    calls = [{"name": "pay", "arguments": {"amount": 1000, "to": "nobody"}}]
    with Wire(server, text=None, tool_calls=calls, fault="truncate", after_pieces=4) as wire:
        _, reasons, payloads = said(wire.body())
    arguments = "".join(
        call["function"].get("arguments", "")
        for payload in payloads
        for call in json.loads(payload)["choices"][0]["delta"].get("tool_calls", ())
    )
    assert reasons == []
    assert '{"amount":1000,"to":"nobody"}'.startswith(arguments)
    assert 0 < len(arguments) < 20


def test_a_missing_finish_reason_and_a_missing_done_leave_the_rest_whole(server):
    with Wire(server, fault="no_finish_reason") as wire:
        text, reasons, payloads = said(wire.body())
    assert (text, reasons, payloads[-1]) == (TEXT, [], "[DONE]")
    with Wire(server, fault="no_done") as wire:
        text, reasons, payloads = said(wire.body())
    assert (text, reasons) == (TEXT, ["stop"])
    assert "[DONE]" not in payloads
    with Wire(server, stream=False, fault="no_finish_reason") as wire:
        assert json.loads(wire.body())["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_another_finish_reason_can_be_given(server, reason):
    with Wire(server, finish_reason=reason) as wire:
        assert said(wire.body())[1] == [reason]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 529])
@pytest.mark.parametrize("stream", [True, False])
def test_a_status_has_the_error_object_of_the_protocol(server, status, stream):
    wire = Wire(server, stream=stream, fault="status", status=status)
    with wire, wire.response() as response:
        error = json.loads(response.read())["error"]
    assert response.status == status
    assert error.keys() == {"message", "type", "param", "code"}


def test_malformed_json_does_not_parse(server):
    with Wire(server, stream=False, fault="malformed_json") as wire:
        body = wire.body()
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    with Wire(server, fault="malformed_json", after_pieces=2) as wire:
        *good, bad = wire.body().decode().strip().split("\n\n")
    assert TEXT[1] in good[-1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad.removeprefix("data: "))


@pytest.mark.parametrize("stream", [True, False])
def test_html_comes_as_if_all_were_well(server, stream):
    with Wire(server, stream=stream, fault="html") as wire, wire.response() as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/html")
        assert b"<html>" in response.read()


def test_a_wrong_type_parses_and_is_not_the_protocol(server):
    with Wire(server, stream=False, fault="wrong_type") as wire:
        assert json.loads(wire.body())["choices"] == "none"
    with Wire(server, fault="wrong_type", broken_text="[1, 2]") as wire:
        assert wire.body() == b"data: [1, 2]\n\n"


def test_an_error_can_come_in_the_middle_of_a_good_status(server):
    with Wire(server, fault="error_event", after_pieces=1) as wire:
        last = wire.body().decode().strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "server_error"
    with Wire(server, stream=False, fault="error_event") as wire, wire.response() as response:
        assert (response.status, "error" in json.loads(response.read())) == (200, True)


def test_a_huge_line_is_one_line_of_its_size(server):
    with Wire(server, fault="huge_line", size_bytes=300_000) as wire:
        longest = max(wire.body().split(b"\n"), key=len)
    assert 300_000 <= len(longest) < 300_200


def test_a_huge_stream_has_only_ordinary_lines(server):
    with Wire(server, fault="huge_body", size_bytes=300_000) as wire:
        body = wire.body()
    assert 300_000 <= len(body) < 500_000
    assert max(map(len, body.split(b"\n"))) < 1000


def test_a_huge_plain_body_is_json_of_its_size(server):
    with Wire(server, stream=False, fault="huge_body", size_bytes=300_000) as wire:
        reply = json.loads(wire.body())
    assert len(reply["choices"][0]["message"]["content"]) == 300_000


@pytest.mark.parametrize("fault", ["huge_body", "huge_line"])
def test_a_huge_reply_is_made_while_it_is_read(server, fault):
    """100 MB that nobody reads take almost no memory."""

    def resident_bytes():
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES

    before = resident_bytes()
    with Wire(server, fault=fault, size_bytes=100_000_000) as wire:
        left = 2_000_000
        while left > 0:
            left -= len(wire.socket.recv(65_536))
        assert resident_bytes() - before < 30_000_000
    server.wait_until(lambda: server.requests[0].disconnected)


def test_characters_are_cut_through_when_writes_are_small(server):
    with Wire(server, write_bytes=1) as wire:
        sent = wire.socket.recv(65_536)
        while not sent.endswith(b"\r\n0\r\n\r\n"):
            sent += wire.socket.recv(65_536)
    assert "一".encode()[:1] + b"\r\n1\r\n" + "一".encode()[1:2] in sent
    with Wire(server, write_bytes=7, tokens_per_s=10_000) as wire:
        assert said(wire.body())[0] == TEXT


@pytest.mark.parametrize("line_end", ["lf", "crlf"])
def test_other_line_ends_comments_and_grouped_events_carry_the_same_text(server, line_end):
    with Wire(
        server, line_end=line_end, comment_every=1, events_per_write=3, tokens_per_s=10_000
    ) as wire:
        body = wire.body()
    assert said(body)[0] == TEXT
    assert body.count(b": keep-alive") == len(TEXT)
    assert (b"\r\n\r\n" in body) == (line_end == "crlf")


def test_a_body_that_is_no_json_is_refused(server):
    address = server.base_url.removeprefix("http://").removesuffix("/v1")
    for payload in (b"{", b"[]", b"", b"\xff"):
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("POST", "/v1/chat/completions", payload)
        with connection.getresponse() as response:
            assert response.status == 400
            assert json.loads(response.read())["error"]["type"] == "invalid_request_error"
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/health", 200),
    ],
)
def test_paths_and_methods_are_as_in_the_api(server, method, path, status):
    address = server.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(method, path)
    with connection.getresponse() as response:
        assert response.status == status
        assert json.loads(response.read())
    connection.close()


def test_a_client_of_the_old_protocol_gets_its_stream_too(server):
    """HTTP/1.0 has no chunks: the end of the connection ends the body."""
    host, port = server.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    body = json.dumps(
        {"model": "m", "messages": MESSAGES, "stream": True, "mock": {"tokens_per_s": 1e5}}
    )
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        wire.sendall(
            b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body.encode())
        )
        received = b"".join(iter(lambda: wire.recv(65_536), b""))
    head, _, stream = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert said(stream)[0] == TEXT
