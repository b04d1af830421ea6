"""One user cannot take everything: how often, how much at once, and how long a prompt."""

import contextlib

import pytest
import requests
from owned_things import Person
from stream_client import reading

from xwe.mock import Behaviour


@pytest.fixture
def joined(serve):
    """Somebody at a server with these settings."""
    with contextlib.ExitStack() as stack:

        def joined(username="ada", server=None, **environ):
            person = Person((server or serve(**environ)).url, None, username)
            stack.callback(person.close)
            return person

        yield joined


def code_of(reply):
    return reply.status_code, reply.json()["error"]["code"]


def test_a_user_who_asks_too_often_waits_and_others_do_not(joined, serve):
    server = serve(XWE_USER_RPM="3")
    ada, bob = joined("ada", server), joined("bob", server)
    replies = [ada.ask("POST", "/api/llm/chat", json={"message": "hi"}) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert code_of(replies[3]) == (429, "limit_exceeded")
    assert 0 < int(replies[3].headers["Retry-After"]) <= 60
    assert bob.ask("POST", "/api/llm/chat", json={"message": "hi"}).ok
    assert ada.ask("GET", "/auth/me").ok  # what costs nothing is not counted


def test_who_is_not_signed_in_is_not_one_user(serve):
    server = serve(XWE_USER_RPM="1", XWE_USER_STREAMS="1")
    for _ in range(3):
        reply = requests.post(f"{server.url}/api/llm/chat", json={"message": "hi"}, timeout=20)
        assert reply.status_code == 200


def test_the_fourth_answer_at_once_is_refused_until_one_ends(joined, mock_server):
    ada = joined()
    mock_server.script(*[Behaviour(text="one two three", fault="stall", after_pieces=2)] * 3)
    headers = {"Cookie": f"xwe_session={ada.session.cookies['xwe_session']}", "Origin": ada.url}
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(reading(ada.url, headers=headers, message="hi")) for _ in range(3)
        ]
        for reader in readers:
            reader.until("text-delta")
        refused = ada.ask("POST", "/api/llm/stream", json={"message": "hi"})
        assert code_of(refused) == (429, "limit_exceeded")
        assert int(refused.headers["Retry-After"]) > 0
        other = requests.post(f"{ada.url}/api/llm/stream", json={"message": "hi"}, timeout=20)
        assert other.status_code == 200
        for reader in readers:
            ada.ask("POST", f"/api/generations/{reader.stream_id}/stop")
            list(reader)
        assert ada.ask("POST", "/api/llm/stream", json={"message": "hi"}).ok


def test_a_prompt_can_be_too_long_for_a_user(joined, mock_server):
    ada = joined(XWE_USER_PROMPT_BYTES="2000")
    assert code_of(ada.ask("POST", "/api/llm/chat", json={"message": "x" * 2000})) == (
        413,
        "too_large",
    )
    assert mock_server.requests == []
    assert ada.ask("POST", "/api/llm/chat", json={"message": "x" * 1000}).ok
    assert ada.ask("PUT", "/api/me/settings", json={"note": "x" * 3000}).ok  # not for the model
