"""A WebSocket does not outlive the sign-in that opened it."""

import contextlib

import pytest
from owned_things import PASSWORD, Person
from websocket_client import talking
from websockets.exceptions import ConnectionClosed

from xwe.mock import Behaviour
from xwe.services.accounts import Accounts
from xwe.storage.database import Database

ORDERS = {
    "chat": {"message": "hi"},
    "rejoin": {"stream": "any"},
    "subscribe": {},
    "stop": {"stream": "any"},
}
# Long enough for a busy client to answer the pings that go out as often.
HEARTBEAT_S = "6"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('accounts')}/xwe.db"


@pytest.fixture(scope="module")
def server(serve, url):
    """One whose heartbeats are too far apart to be what notices."""
    return serve(XWE_DATABASE_URL=url, XWE_STREAM_HEARTBEAT="600")


@pytest.fixture(scope="module")
def beating_server(serve, url):
    return serve(XWE_DATABASE_URL=url, XWE_STREAM_HEARTBEAT=HEARTBEAT_S)


@pytest.fixture
def join(url):
    """Makes people of new names; they leave with the test."""
    database = Database(url)
    with contextlib.ExitStack() as leaving:
        leaving.callback(database.close)

        def join(server, username):
            person = Person(server.url, database, username)
            leaving.callback(person.close)
            return person

        yield join


def cookie(person):
    secret = person.session.cookies["xwe_session"]
    return {"Cookie": f"xwe_session={secret}", "Origin": person.url}


def token(person):
    made = person.ask("POST", "/api/me/tokens", json={"name": "script"}).json()
    return {"Authorization": f"Bearer {made['token']}"}


def delete_account(person):
    accounts = Accounts(person.database, signup_is_open=False)
    accounts.delete(person.account.id)
    accounts.close()


def end_session(person):
    items = person.ask("GET", "/api/me/sessions").json()["items"]
    assert person.ask("DELETE", f"/api/me/sessions/{items[0]['id']}").ok


def delete_token(person):
    items = person.ask("GET", "/api/me/tokens").json()["items"]
    assert person.ask("DELETE", f"/api/me/tokens/{items[0]['id']}").ok


def change_password(person):
    change = {"old": PASSWORD, "new": "another password"}
    assert person.ask("POST", "/auth/password", json=change).ok


def sign_out(person):
    assert person.ask("POST", "/auth/logout").ok


def sign_out_everywhere(person):
    assert person.ask("DELETE", "/api/me/sessions").ok


ENDS = {
    "signed out": (cookie, sign_out),
    "signed out everywhere": (cookie, sign_out_everywhere),
    "signed out from elsewhere": (cookie, end_session),
    "another password": (cookie, change_password),
    "deleted": (cookie, delete_account),
    "token deleted": (token, delete_token),
    "token of a deleted user": (token, delete_account),
}


def goodbye(talk):
    """Code and reason, when that is the next thing that is heard."""
    with pytest.raises(ConnectionClosed) as closed:
        talk.hear()
    return closed.value.rcvd.code, closed.value.rcvd.reason


SIGNED_OUT = (1008, "The sign-in has ended.")


@pytest.mark.parametrize("end", ENDS)
def test_who_is_no_longer_signed_in_asks_the_model_nothing(server, join, mock_server, end):
    show, finish = ENDS[end]
    person = join(server, f"end{list(ENDS).index(end)}")
    with talking(server.url, additional_headers=show(person)) as talk:
        assert talk.ask(type="subscribe") == {"type": "subscribed"}
        finish(person)
        talk.say(type="chat", message="hi")
        assert goodbye(talk) == SIGNED_OUT
    assert mock_server.requests == []


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_that_is_wanted_is_done_for_them(server, join, order):
    person = join(server, f"order-{order}")
    with talking(server.url, additional_headers=cookie(person)) as talk:
        assert talk.ask(type="ping")["type"] == "pong"
        sign_out_everywhere(person)
        talk.say(type=order, **ORDERS[order])
        assert goodbye(talk) == SIGNED_OUT


def ping_on(talk):
    while True:
        assert talk.ask(type="ping") == {"type": "pong"}


def hear_on(talk):
    while True:
        assert talk.hear()["type"] == "event"


def test_a_heartbeat_later_their_news_and_answers_end(beating_server, join, mock_server):
    """Also for one who says enough not to be asked whether they are there."""
    mock_server.script(Behaviour(text="one two three", fault="stall", after_pieces=2))
    reader, talker = join(beating_server, "reader"), join(beating_server, "talker")
    with (
        talking(beating_server.url, additional_headers=cookie(reader)) as reading,
        talking(beating_server.url, additional_headers=cookie(talker)) as speaking,
    ):
        reading.say(type="chat", message="hi")
        reading.until_text()
        sign_out_everywhere(reader)
        sign_out_everywhere(talker)
        with pytest.raises(ConnectionClosed) as closed:
            ping_on(speaking)
        assert closed.value.rcvd.code == 1008
        with pytest.raises(ConnectionClosed) as closed:
            hear_on(reading)
        assert closed.value.rcvd.code == 1008
