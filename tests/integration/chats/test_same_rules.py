"""Whoever reads an answer, over whatever: they join, rejoin and stop it by the same rules."""

import http.client
import signal
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from chat_person import Person
from event_source import EventSource
from stream_client import kinds_of, text_of
from websocket_client import talking

from xwe.mock import Behaviour
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade

SAID = "一二三四五六"
STALLED = Behaviour(text=SAID, fault="stall", after_pieces=3)


@pytest.fixture
def database(sqlite_url):
    upgrade(sqlite_url)
    with closing(Database(sqlite_url, timeout_s=60)) as opened:
        yield opened


@pytest.fixture
def new_server(serve, sqlite_url, database, mock_server):
    """Processes on one database; each forgets an answer as soon as it has ended."""
    mock_server.reset()

    def start(**environ):
        return serve(
            XWE_DATABASE_URL=sqlite_url,
            XWE_DATABASE_TIMEOUT_S="60",
            XWE_CHAT_SNAPSHOT="0.1",
            XWE_STREAM_KEEP="0.001",
            LLM_IDLE_TIMEOUT="600",
            LLM_STREAM_TIMEOUT="600",
            **environ,
        )

    return start


def as_person(person):
    return {"additional_headers": {"Cookie": person.cookie, "Origin": person.url}}


def events_of(heard):
    return [(said["number"], said["event"]) for said in heard if said["type"] == "event"]


def test_a_websocket_rejoins_and_stops_an_answer_that_another_process_makes(
    new_server, database, mock_server
):
    maker, other = new_server(), new_server()
    ada = Person(maker.url, database)
    mock_server.script(STALLED)
    with ada.streaming("hi") as reading:
        seen = reading.until_text("一二三")
        there = ada.at(other.url)
        with talking(other.url, **as_person(there)) as talk:
            talk.say(type="rejoin", stream=reading.stream_id, after=seen[-1][0])
            heard = [talk.hear()]
            while text_of(events_of(heard)) != "一二三":
                heard.append(talk.hear())
            talk.say(type="stop", stream=reading.stream_id)
            heard += talk.hear_until("done")
        assert kinds_of(events_of(heard))[-1] == "abort"
        assert kinds_of(list(reading))[-1] == "abort"
    assert ada.messages()[1]["status"] == "cancelled"


def test_a_websocket_rejoins_an_answer_that_is_in_the_database_alone(
    new_server, database, mock_server
):
    server = new_server()
    ada = Person(server.url, database)
    mock_server.script(Behaviour(text=SAID))
    status, answer = ada.say("hi")
    assert status == 200
    with talking(server.url, **as_person(ada)) as talk:
        talk.say(type="rejoin", stream=answer["generation_id"], after=0)
        events = events_of(talk.hear_until("done"))
    assert text_of(events) == SAID
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert kinds_of(events)[-1] == "finish"


def test_a_plain_stream_that_a_drain_ends_goes_on_in_the_next_process(
    new_server, database, mock_server
):
    """Its reader, a browser, takes `done` for the end, and connects again without it."""
    server, next_one = new_server(XWE_DRAIN_TIMEOUT="0.5"), new_server()
    ada = Person(server.url, database)
    mock_server.script(STALLED)
    source = EventSource()
    with ada.opened("GET", ada.path("stream") + "?content=hi") as reading:
        while source.text != "一二三":
            source.feed(reading.response.readline())
        server.process.send_signal(signal.SIGTERM)
        source.feed(reading.response.read())
    assert "done" not in source.kinds
    headers = {"Last-Event-ID": source.last_event_id}
    there = ada.at(next_one.url)
    with there.opened("GET", ada.path("stream") + "?content=hi", None, headers) as reading:
        assert reading.response.status in {200, 204}
        source.feed(reading.response.read())
    assert source.text == "一二三"
    assert len(ada.at(next_one.url).messages()) == 2
    assert len(mock_server.requests) == 1


def test_plain_text_can_be_stopped_like_every_answer(new_server, mock_server):
    server = new_server()
    mock_server.script(STALLED)
    address = urlsplit(server.url).netloc
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("GET", "/chat?prompt=hi")
        with closing(connection.getresponse()) as response:
            text = response.read(len("一二三".encode()))
            answer_id = response.getheader("X-Generation-Id")
            with closing(http.client.HTTPConnection(address, timeout=60)) as other:
                other.request("POST", f"/api/generations/{answer_id}/stop")
                assert other.getresponse().read() == b'{"ok":true}'
            assert (text + response.read()).decode() == "一二三"
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)


def test_plain_text_that_a_drain_ends_is_cut_off(new_server, mock_server):
    server = new_server(XWE_DRAIN_TIMEOUT="0.5")
    mock_server.script(STALLED)
    address = urlsplit(server.url).netloc
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("GET", "/chat?prompt=hi")
        with closing(connection.getresponse()) as response:
            text = response.read(len("一二三".encode()))
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(http.client.IncompleteRead) as cut:
                response.read()
    assert (text + cut.value.partial).decode() == "一二三"
    assert "Traceback" not in server.log
