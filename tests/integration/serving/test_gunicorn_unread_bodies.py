"""A reply that leaves a body unread says whether the connection ends (RFC 9112, 9.6)."""

import re

import pytest

REFUSING = """
def application(environ, start_response):
    body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/read" else b"no"
    start_response("403 Forbidden", [("Content-Length", str(len(body)))])
    return [body]
"""

XWE = """
from xwe.web import create_app
application = create_app()
"""

HEAD = "POST {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n"


def request(length, body=b"", path="/"):
    return HEAD.format(path=path, length=length).encode() + body


def read_head(client):
    """The next reply's head."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (chunk := client.recv(1))
        assert chunk, received
    return received.decode()


def connection_of(head):
    return re.search(r"^Connection: (.*)\r$", head, re.MULTILINE)[1]


def rest(client):
    """Everything until the other side closes."""
    return b"".join(iter(lambda: client.recv(10_000), b""))


@pytest.mark.parametrize(
    "sent",
    [
        request("Content-Length: 100"),
        request("Content-Length: 100", b"a part of it"),
        request("Content-Length: 70000", b"x" * 70_000),
        request("Content-Length: 10000000"),
        request("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
        request("Transfer-Encoding: chunked", b"zz\r\n"),
        request("Expect: 100-continue\r\nContent-Length: 100"),
    ],
    ids=["none of it", "a part", "long", "far too long", "chunks", "bad chunks", "asked for it"],
)
def test_the_last_reply_of_a_connection_says_so(gunicorn, sent):
    server = gunicorn(REFUSING)
    with server.connect() as client:
        client.sendall(sent)
        head = read_head(client)
        if head.startswith("HTTP/1.1 100"):
            head = read_head(client)
        assert head.startswith("HTTP/1.1 403")
        assert connection_of(head) == "close"
        assert rest(client) == b"no"
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    "sent",
    [
        request("Content-Length: 5", b"hello"),
        request("Content-Length: 20000", b"x" * 20_000),
        request("Content-Length: 0"),
        request("X-Nothing: here"),
        request("Content-Length: 5", b"hello", "/read"),
        request("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n", "/read"),
    ],
    ids=["there", "more than is read at once", "empty", "none", "read", "read in chunks"],
)
def test_one_whose_body_is_there_keeps_its_connection(gunicorn, sent):
    """The next request on it is served, from its first byte on."""
    server = gunicorn(REFUSING)
    with server.connect() as client:
        for _ in range(2):
            client.sendall(sent)
            head = read_head(client)
            assert connection_of(head) == "keep-alive"
            length = int(re.search(r"Content-Length: (\d+)", head)[1])
            while length:
                length -= len(client.recv(length))


@pytest.mark.parametrize(
    ("length", "origin", "status"),
    [("10000000", "http://x", "413"), ("20", "https://evil.test", "403")],
)
def test_so_do_the_applications_own_refusals(gunicorn, length, origin, status):
    server = gunicorn(XWE)
    with server.connect() as client:
        head = f"Content-Length: {length}\r\nOrigin: {origin}"
        client.sendall(request(head, path="/api/llm/chat"))
        head = read_head(client)
        assert head.startswith(f"HTTP/1.1 {status}")
        assert connection_of(head) == "close"
        assert rest(client).endswith(b"}")
