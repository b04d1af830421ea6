"""When who opened a WebSocket is asked for again, on a clock that the test turns."""

from types import SimpleNamespace

import pytest

from xwe.errors import DatabaseUnavailableError, UnauthorizedError
from xwe.services.accounts import Account, Identity
from xwe.streams.answers import NOBODY
from xwe.web.identity import RequestCredentials
from xwe.web.routes import websocket
from xwe.web.routes.websocket import Caller

BEAT_S = 20.0
ADA = Identity(Account(7, "ada", is_admin=False), session_id=1)
BOB = Identity(Account(8, "bob", is_admin=False), session_id=1)


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


class Directory:
    """Says of every session whose it is, if it can."""

    def __init__(self):
        self.asked = 0
        self.identity = ADA
        self.is_away = False

    def by_session(self, secret):
        self.asked += 1
        if self.is_away:
            raise DatabaseUnavailableError
        return self.identity


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(websocket, "time", clock)
    return clock


@pytest.fixture
def directory():
    return Directory()


@pytest.fixture
def call(directory, clock):
    def call(owner="7"):
        app = SimpleNamespace(
            services=SimpleNamespace(accounts=directory),
            writing_times=SimpleNamespace(heartbeat_s=BEAT_S),
        )
        return Caller(app, owner, RequestCredentials(token=None, session="secret"))

    return call


def test_they_are_asked_for_once_a_heartbeat(call, directory, clock):
    caller = call()
    for beats in range(1, 4):
        clock.now += BEAT_S - 1
        caller.confirm_now_and_then()
        assert (directory.asked, caller.due_in_s()) == (beats - 1, 1)
        clock.now += 1
        for _ in range(3):
            caller.confirm_now_and_then()
        assert (directory.asked, caller.due_in_s()) == (beats, BEAT_S)


@pytest.mark.parametrize("found", [None, BOB], ids=["nobody", "somebody else"])
def test_one_who_is_not_who_they_were_is_not_served(call, directory, clock, found):
    caller = call()
    directory.identity = found
    with pytest.raises(UnauthorizedError):
        caller.confirm()
    clock.now += BEAT_S
    with pytest.raises(UnauthorizedError):
        caller.confirm_now_and_then()


def test_while_it_cannot_be_told_they_stay_and_get_nothing_new(call, directory, clock):
    caller = call()
    directory.is_away = True
    clock.now += BEAT_S
    caller.confirm_now_and_then()
    caller.confirm_now_and_then()
    assert directory.asked == 1  # and not again and again
    with pytest.raises(DatabaseUnavailableError):
        caller.confirm()
    directory.is_away, directory.identity = False, None
    clock.now += BEAT_S
    with pytest.raises(UnauthorizedError):
        caller.confirm_now_and_then()


def test_nobody_is_not_asked_for(call, directory, clock):
    caller = call(NOBODY)
    clock.now += 10 * BEAT_S
    caller.confirm()
    caller.confirm_now_and_then()
    assert caller.due_in_s() is None
    assert directory.asked == 0
