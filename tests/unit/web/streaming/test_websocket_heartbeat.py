"""When a WebSocket's client is asked whether it is there, and when it is taken for gone."""

import socket

import pytest

from xwe.web.streaming import websocket
from xwe.web.streaming.websocket import WebSocket, WebSocketEndedError

BEAT_S = 20.0
PING = b"\x89\x00"
PONG = b"\x8a\x80\0\0\0\0"  # a client's frames are masked, here with nothing


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(websocket, "time", clock)
    return clock


@pytest.fixture
def pair(clock):
    """A server's side, and its client's socket."""
    ours, client = socket.socketpair()
    client.settimeout(20)
    side = WebSocket(
        {
            "gunicorn.socket": ours,
            "PATH_INFO": "/ws",
            "HTTP_CONNECTION": "Upgrade",
            "HTTP_UPGRADE": "websocket",
            "HTTP_SEC_WEBSOCKET_VERSION": "13",
            "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
        },
        heartbeat_s=BEAT_S,
        max_bytes=1000,
    )
    with ours, client:
        yield side, client
        side.release()


def has_nothing(client):
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(100)
    client.settimeout(20)
    return True


def test_a_client_that_answers_each_ping_stays(pair, clock):
    side, client = pair
    for _ in range(5):
        clock.now += BEAT_S - 1
        assert side.receive(0) == []
        assert has_nothing(client)
        clock.now += 1
        assert side.receive(0) == []
        assert client.recv(100) == PING
        client.sendall(PONG)
        assert side.receive(0) == []


def test_one_that_leaves_a_ping_without_an_answer_has_gone(pair, clock):
    side, client = pair
    clock.now += BEAT_S
    side.receive(0)
    assert client.recv(100) == PING
    clock.now += BEAT_S - 1
    assert side.receive(0) == []
    clock.now += 1
    with pytest.raises(WebSocketEndedError):
        side.receive(0)


def test_a_server_that_stood_still_asks_before_it_takes_a_client_for_gone(pair, clock):
    side, client = pair
    clock.now += 100 * BEAT_S
    assert side.receive(0) == []
    assert client.recv(100) == PING


def test_an_answer_that_came_while_the_server_stood_still_counts(pair, clock):
    side, client = pair
    clock.now += BEAT_S
    side.receive(0)
    look = side._selector.select

    def look_and_stand_still(timeout_s):
        ready = look(timeout_s)
        side._selector.select = look
        client.sendall(PONG)
        clock.now += BEAT_S
        return ready

    side._selector.select = look_and_stand_still
    assert side.receive(0) == []
    assert side.receive(0) == []
    clock.now += BEAT_S - 1
    assert client.recv(100) == PING
    assert side.receive(0) == []
