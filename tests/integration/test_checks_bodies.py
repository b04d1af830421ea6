"""Whatever is sent to any route, the answer is a 4xx that says why, and never a traceback.

The routes come from the URL map.
"""

import socket
from urllib.parse import urlsplit

import pytest
import requests
from url_map import ROUTES, UNSAFE

# These read no body. Any other unsafe route must refuse each of the bodies below.
WITHOUT_BODY = {
    "accounts.delete_token",
    "accounts.end_session",
    "accounts.end_sessions",
    "accounts.log_out",
    "characters.remove",
    "characters.restore",
    "chats.regenerate",
    "chats.select",
    "generations.stop",
    "tasks.cancel",
    "tasks.retry",
}
# These do without one, or without each of its fields: they get as far as the thing that is not
# there. Settings are the front end's own: nearly any object will do.
FORGIVING = {
    "accounts.set_settings": (200, None),
    "characters.complete": (404, "not_found"),
    "characters.copy": (404, "not_found"),
    "characters.retry_category": (404, "not_found"),
    "characters.save_memories": (404, "not_found"),
}
READING = [route for route in UNSAFE if route.endpoint not in WITHOUT_BODY]

FIELDS = ("message", "messages", "new_message", "prompt", "prompts", "system_prompt", "model")
OTHERS = ("temperature", "max_tokens", "limit", "id")


def everywhere(value):
    """A body in which every field that any route knows is `value`, in JSON."""
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name in FIELDS + OTHERS)


MALFORMED = {
    "empty": b"",
    "cut off": b'{"message": "hi"',
    "bad utf-8": everywhere(b'"\xff"'),
    "surrogate bytes": everywhere(b'"\xed\xa0\x80"'),
    "lone surrogate": everywhere(b'"\\ud800"'),
    "nul": everywhere(b'"\x00"'),
    "escaped nul": everywhere(b'"\\u0000"'),
    "deep list": everywhere(b"[" * 100_000),
    "deep list, closed": b'{"message":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "as deep as JSON may be": b'{"messages":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "deep object": b'{"message":' * 100_000,
    "list": b'["message"]',
    "null": b"null",
    "number": everywhere(b"-1"),
    "endless number": everywhere(b"1e999"),
    "object": everywhere(b"{}"),
    "nothing": everywhere(b"null"),
    "nan": everywhere(b"NaN"),
    "lists in lists": everywhere(b"[[[]]]").replace(b'"prompts":[[[]]]', b'"prompts":{}'),
}


@pytest.fixture(scope="module")
def token(app_server):
    """Of somebody who has an account, so that the body is what is refused."""
    with requests.Session() as session:
        session.headers.update({"Origin": app_server.url, "Connection": "close"})
        who = {"username": "malformed", "password": "a good password"}
        session.post(app_server.url + "/auth/register", json=who, timeout=20).raise_for_status()
        made = session.post(app_server.url + "/api/me/tokens", json={"name": "test"}, timeout=20)
        return made.json()["token"]


@pytest.fixture
def quiet(app_server):
    """The server; the test fails if it writes a traceback meanwhile."""
    before = len(app_server.log)
    yield app_server
    assert "Traceback" not in app_server.log[before:]
    assert "ERROR" not in app_server.log[before:]


@pytest.fixture
def post(quiet, token):
    with requests.Session() as session:
        session.headers["Connection"] = "close"  # what is refused unread ends its connection

        def send(route, body):
            """Status and the error's code, None where it is no error."""
            reply = session.request(
                route.method,
                quiet.url + route.path(),
                data=body,
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
                timeout=20,
            )
            return reply.status_code, reply.json().get("error", {}).get("code")

        yield send


@pytest.mark.parametrize("route", READING, ids=str)
def test_a_malformed_body_is_a_400(post, mock_server, route):
    # A prompt may not be as long as the depths are deep.
    allowed = {(400, "invalid_request"), (413, "too_large"), FORGIVING.get(route.endpoint)}
    answers = {name: post(route, body) for name, body in MALFORMED.items()}
    assert {name: answer for name, answer in answers.items() if answer not in allowed} == {}
    assert mock_server.requests == []


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "chunked"])
@pytest.mark.parametrize("route", READING, ids=str)
def test_ten_megabytes_are_a_413(post, route, is_announced):
    pieces = [b'{"message": "', *[b"x" * 100_000] * 100, b'"}']
    answer = post(route, b"".join(pieces) if is_announced else iter(pieces))
    assert answer == (413, "too_large")


@pytest.mark.parametrize(
    "route", [route for route in UNSAFE if route.endpoint in WITHOUT_BODY], ids=str
)
def test_a_route_without_a_body_does_not_mind_one(post, route):
    ended = "unauthorized" if route.endpoint == "accounts.log_out" else "not_found"
    for body in MALFORMED.values():
        status, code = post(route, body)
        assert (status, code) in {(404, "not_found"), (200, None), (401, ended)}


STRANGE = ["%00", "%ff", "%ED%A0%80", "%F0%9F%98%80", "%2e%2e%2f", "x" * 3000, "%0d%0aX-Y:1", "'\""]
QUERIES = ["?prompt=%ff", "?prompt=%00", "?after=%ff&lang=%ff", "?lang=%00", "?=&&%", "?%ed%a0%80"]
HEADERS = {
    "X-Request-ID": b"\xff\xfe",
    "Last-Event-ID": b"\xff",
    "Accept-Language": b"\xff;q=zh, ,;",
    "Cookie": b'xwe_lang="\xff\\777; ;=',
    "Accept": b"\xff/\xff;q=x",
    "Authorization": b"Bearer \xff\xfe",
}


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_strange_addresses_and_headers_are_no_servers_error(quiet, route):
    """As bytes on a socket: no client library would send them."""
    targets = [route.path(part) for part in (STRANGE if "<" in route.rule else ["unknown"])]
    targets += [route.path() + query for query in QUERIES]
    for target in targets:
        assert 200 <= status(quiet, route.method, target) < 500
    for name, value in HEADERS.items():
        field = b"%b: %b\r\n" % (name.encode(), value)
        assert 200 <= status(quiet, route.method, route.path(), field) < 500


def status(server, method, target, fields=b""):
    address = urlsplit(server.url)
    head = f"{method} {target} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=20) as client:
        client.sendall(head.encode() + fields + b"Content-Length: 0\r\n\r\n")
        line = client.makefile("rb").readline()
    return int(line.split()[1])
