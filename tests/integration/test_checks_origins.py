"""No page of another site makes a reader's browser act here, and looking changes nothing.

The routes come from the URL map.
"""

import pytest
import requests
from stream_client import reading, rejoining
from url_map import ROUTES, SAFE, UNSAFE

from xwe.mock import Behaviour

FOREIGN = {
    "origin": {"Origin": "https://evil.test"},
    "no origin to name": {"Origin": "null"},
    "same host, other port": {"Origin": "http://127.0.0.1:1"},
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "sister site": {"Sec-Fetch-Site": "same-site", "Origin": "http://sister.test"},
    "a cookie and nothing else": {"Cookie": "xwe_lang=zh"},
}
GOOD = b'{"message": "hi", "messages": [], "new_message": "hi", "prompt": "hi", "prompts": ["hi"]}'

# The routes that work when they are only looked at. Two are for older pages, which read a stream
# from a GET; a WebSocket spends nothing until its client speaks.
SPENDING_GETS = {"llm.stream", "chats.plain_stream", "websocket.converse"}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("route", UNSAFE, ids=str)
def test_a_foreign_page_changes_nothing(app_server, mock_server, route, headers):
    """With a body that would be good, so that nothing else is in the way."""
    reply = requests.request(
        route.method, app_server.url + route.path(), data=GOOD, headers=headers, timeout=20
    )
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "foreign_origin")
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert mock_server.requests == []


@pytest.mark.parametrize("route", UNSAFE, ids=str)
def test_our_own_page_may(app_server, route):
    """The other side of the test above: what was refused was the origin."""
    reply = requests.request(
        route.method,
        app_server.url + route.path(),
        data=GOOD,
        headers={"Origin": app_server.url, "Cookie": "xwe_lang=zh"},
        timeout=20,
    )
    assert reply.status_code in {200, 400, 401, 404}


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_no_preflight_is_granted(app_server, route):
    reply = requests.options(
        app_server.url + route.path(),
        headers={"Origin": "https://evil.test", "Access-Control-Request-Method": route.method},
        timeout=20,
    )
    assert not [name for name in reply.headers if name.lower().startswith("access-control-")]


def test_a_get_route_that_asks_the_model_is_named_here():
    assert {route.endpoint for route in SAFE if route.spends} == SPENDING_GETS


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Referer": "https://e.test"}]
)
@pytest.mark.parametrize("route", [route for route in SAFE if route.spends], ids=str)
def test_nor_does_a_foreign_page_get_the_model_asked_by_a_link(
    app_server, mock_server, route, headers
):
    address = app_server.url + route.path() + "?prompt=hi"
    if route.is_websocket:
        headers = headers | {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
    assert requests.get(address, headers=headers, timeout=20).status_code == 403
    assert mock_server.requests == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_every_route_changes_nothing(app_server, mock_server, method):
    """An answer is on its way meanwhile: it stays what it was, and no other is begun."""
    mock_server.script(Behaviour(text="one two three", fault="stall", after_pieces=2))
    with reading(app_server.url, message="hi") as reader:
        before = reader.until("text-delta")
        calls = calls_made(app_server)
        for route in SAFE:
            if method == "GET" and route.endpoint in {"llm.stream", "generations.rejoin"}:
                continue  # the one may spend, the other is endless here and read below
            for query in ("", "?prompt=hi&stop=1&lang=en"):
                path = route.path(reader.stream_id) + query
                reply = requests.request(method, app_server.url + path, timeout=20)
                assert reply.status_code in {200, 400, 401, 404}, path
                assert set(reply.cookies.keys()) <= {"xwe_lang"}
        with rejoining(app_server.url, reader.stream_id) as again:
            assert again.until("text-delta") == before
        assert len(mock_server.requests) == 1
        assert not mock_server.requests[0].disconnected
        assert calls_made(app_server) == calls
        requests.post(f"{app_server.url}/api/generations/{reader.stream_id}/stop", timeout=20)


def calls_made(server):
    lines = requests.get(f"{server.url}/metrics", timeout=20).text.splitlines()
    return [line for line in lines if line.startswith("xwe_llm_calls_total")]
