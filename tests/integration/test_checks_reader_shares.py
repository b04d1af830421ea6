"""One user who reads in many places leaves places for the others."""

import contextlib

import pytest
import requests
from owned_things import Person
from stream_client import reading
from websocket_client import refusal

from xwe.mock import Behaviour
from xwe.web.streaming.reader_slots import READERS_EACH

STALLED = Behaviour(text="one two three", fault="stall", after_pieces=2)


@pytest.fixture
def person():
    """Makes people at a server; they leave with the test."""
    with contextlib.ExitStack() as leaving:

        def person(server, username):
            made = Person(server.url, None, username)
            leaving.callback(made.close)
            return made

        yield person


def headers_of(person):
    return {"Cookie": f"xwe_session={person.session.cookies['xwe_session']}", "Origin": person.url}


def begin(stack, url, headers=()):
    """A reader of an answer that stays where it is."""
    reader = stack.enter_context(reading(url, headers=headers, message="hi"))
    reader.until("text-delta")
    return reader


def join(stack, url, stream_id, headers=()):
    path = f"/api/generations/{stream_id}/events"
    reader = stack.enter_context(reading(url, path, headers))
    assert reader.response.status == 200
    return reader


def test_the_thirty_third_reader_of_a_user_is_refused_and_others_are_served(
    app_server, person, mock_server
):
    ada, bob = person(app_server, "ada"), person(app_server, "bob")
    headers = headers_of(ada)
    mock_server.script(STALLED)
    with contextlib.ExitStack() as stack:
        stream_id = begin(stack, ada.url, headers).stream_id
        readers = [join(stack, ada.url, stream_id, headers) for _ in range(READERS_EACH - 1)]
        calls = len(mock_server.requests)
        for method, path in (
            ("GET", f"/api/generations/{stream_id}/events"),
            ("GET", "/api/tasks/1/events"),
            ("POST", "/api/llm/stream"),
        ):
            said = {"message": "hi"} if method == "POST" else None
            refused = ada.ask(method, path, json=said)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "limit_exceeded")
            assert refused.json()["error"]["retryable"] is True
            assert int(refused.headers["Retry-After"]) > 0
        assert refusal(ada.url, **headers).status_code == 429
        assert len(mock_server.requests) == calls  # nothing was begun that nobody may read
        assert bob.ask("POST", "/api/llm/stream", json={"message": "hi"}).ok
        readers[0].connection.close()
        until_let_in(ada, stream_id, headers)
        ada.ask("POST", f"/api/generations/{stream_id}/stop")


def until_let_in(person, stream_id, headers):
    """Join the answer, as soon as it has been noticed that somebody left."""
    while True:
        with reading(person.url, f"/api/generations/{stream_id}/events", headers) as reader:
            if reader.response.status == 200:
                return


def test_those_who_are_not_signed_in_share_what_there_is(app_server, mock_server):
    mock_server.script(STALLED)
    with contextlib.ExitStack() as stack:
        stream_id = begin(stack, app_server.url).stream_id
        for _ in range(READERS_EACH + 1):
            join(stack, app_server.url, stream_id)
        stop = f"{app_server.url}/api/generations/{stream_id}/stop"
        assert requests.post(stop, timeout=20).ok


def test_who_may_have_many_answers_at_once_may_read_them(serve, person, mock_server):
    server = serve(XWE_USER_STREAMS="40")
    ada = person(server, "ada")
    headers = headers_of(ada)
    mock_server.script(*[STALLED] * 40)
    with contextlib.ExitStack() as stack:
        readers = [begin(stack, ada.url, headers) for _ in range(40)]
        again = [join(stack, ada.url, reader.stream_id, headers) for reader in readers]
        assert len(again) == 40
        for reader in readers:
            ada.ask("POST", f"/api/generations/{reader.stream_id}/stop")
