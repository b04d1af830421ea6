"""Chats over the wire: the routes, as a page and as other front ends use them."""

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from chat_person import Person
from event_source import EventSource
from stream_client import kinds_of, text_of

from xwe.mock import Behaviour
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade

SAID = "俺老孙来也"
numbers = itertools.count()
STALLED = Behaviour(text="一二三四五六", fault="stall", after_pieces=3)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('chats')}/xwe.db"
    upgrade(url)
    with contextlib.closing(Database(url, timeout_s=60)) as opened:
        opened.url = url
        yield opened


@pytest.fixture(scope="module")
def server(serve, database):
    return serve(
        XWE_DATABASE_URL=database.url,
        XWE_DATABASE_TIMEOUT_S="60",  # a busy machine may keep whoever writes for seconds
        XWE_USER_STREAMS="60",
        XWE_CHAT_SNAPSHOT="0.1",
    )


@pytest.fixture
def new_person(server, database, request):
    def sign_up(**fields):
        name = f"{request.node.originalname[5:20]}{next(numbers)}"
        return Person(server.url, database, name, **fields)

    return sign_up


@pytest.fixture
def ada(new_person):
    return new_person()


def test_a_whole_answer_with_its_timing(ada, mock_server):
    mock_server.script(Behaviour(text=SAID))
    status, reply, headers = ada.ask("POST", ada.path("messages"), {"content": "hi"})
    assert status == 200
    assert reply["reply"] == SAID
    assert headers["Server-Timing"].startswith("queue;dur=")
    asked, answer = ada.messages()
    assert (asked["role"], asked["content"]) == ("user", "hi")
    assert (answer["id"], answer["role"], answer["status"]) == (
        reply["message_id"],
        "assistant",
        "complete",
    )


def test_a_streamed_answer_names_its_rows(ada, mock_server):
    mock_server.script(Behaviour(text=SAID))
    with ada.streaming("hi", client_id="m1") as reading:
        assert reading.response.getheader("x-vercel-ai-ui-message-stream") == "v1"
        events = list(reading)
    assert text_of(events) == SAID
    assert kinds_of(events)[:3] == ["start", "data-turn", "start-step"]
    assert kinds_of(events)[-1] == "finish"
    asked, answer = ada.messages()
    assert asked["client_id"] == "m1"
    turn = events[1][1]["data"]
    assert (turn["message_id"], turn["user_message_id"]) == (answer["id"], asked["id"])
    assert answer["generation_id"] == reading.stream_id


def test_a_reader_that_leaves_comes_back_and_misses_nothing(ada, mock_server):
    mock_server.script(STALLED)
    with ada.streaming("hi") as reading:
        seen = reading.until("text-delta")
    with ada.rejoining(reading.stream_id, after=seen[-1][0]) as again:
        assert again.response.status == 200
        seen = again.until_text("一二三", seen)
        status, _, _ = ada.ask("POST", f"/api/generations/{reading.stream_id}/stop", {})
        rest = list(again)
    assert status == 200
    assert text_of(seen + rest) == "一二三"
    assert kinds_of(rest)[-1] == "abort"
    assert ada.messages()[1]["status"] == "cancelled"


def test_two_tabs_see_the_same_answer(ada, mock_server):
    mock_server.script(STALLED)
    with ada.streaming("hi") as one:
        first = one.until_text("一二三")
        shown = ada.messages()[1]
        assert shown["status"] == "streaming"
        with ada.rejoining(shown["generation_id"]) as two:
            second = two.until_text("一二三")
            assert ada.ask("POST", f"/api/generations/{one.stream_id}/stop", {})[0] == 200
            second += list(two)
        first += list(one)
    assert first == second
    assert kinds_of(first)[-1] == "abort"


def test_the_same_post_fifty_times_at_once_is_one_turn(ada, mock_server):
    mock_server.script(Behaviour(text=SAID, latency_s=0.5))
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: ada.say("hi", key="k1"), range(50)))
    assert [status for status, _ in replies] == [200] * 50
    assert len({reply["message_id"] for _, reply in replies}) == 1
    assert len(mock_server.requests) == 1
    assert len(ada.messages()) == 2
    status, body = ada.say("other", key="k1")
    assert (status, body["error"]["code"]) == (422, "idempotency_clash")


def test_a_second_answer_at_once_is_a_conflict(ada, mock_server):
    mock_server.script(STALLED)
    with ada.streaming("one") as reading:
        reading.until("text-delta")
        status, body = ada.say("two")
        assert (status, body["error"]["code"]) == (409, "generation_running")
        ada.ask("POST", f"/api/generations/{reading.stream_id}/stop", {})


def test_a_provider_that_fails_is_a_status_and_no_speech(ada, mock_server):
    mock_server.script(Behaviour(fault="status", status=401))
    status, body = ada.say("hi")
    assert (status, body["error"]["code"]) == (502, "provider_auth")
    assert [message["status"] for message in ada.messages()] == ["complete", "failed"]
    assert ada.messages()[1]["content"] == ""


def test_others_and_nobody_find_nothing(ada, new_person, mock_server, server):
    grace = new_person(role="福尔摩斯")
    mock_server.script(STALLED)
    with ada.streaming("hi") as reading:
        reading.until("text-delta")
        answer = ada.messages()[1]
        routes = [
            ("GET", ada.path("messages"), None),
            ("POST", ada.path("messages"), {"content": "hi"}),
            ("POST", ada.path("stream"), {"content": "hi"}),
            ("GET", ada.path("stream") + "?content=hi", None),
            ("POST", ada.path(f"messages/{answer['id']}/regenerate"), {}),
            ("POST", ada.path(f"messages/{answer['id']}/select"), {}),
            ("GET", f"/api/generations/{reading.stream_id}/events", None),
            ("POST", f"/api/generations/{reading.stream_id}/stop", {}),
        ]
        for method, path, said in routes:
            missing = path.replace(quote(ada.role), "nobody").replace(reading.stream_id, "none")
            status, body, _ = grace.ask(method, path, said)
            assert (status, body) == grace.ask(method, missing, said)[:2], path
            assert status == 404, path
        nobody = grace.at(server.url)
        nobody.cookie = None
        for method, path, said in routes:
            status = nobody.ask(method, path, said)[0]
            assert status in ({404} if "generations" in path else {401}), path
        assert ada.messages()[1]["status"] == "streaming"
        ada.ask("POST", f"/api/generations/{reading.stream_id}/stop", {})


def test_regenerate_and_select(ada, mock_server):
    mock_server.script(Behaviour(text="one"), Behaviour(text="two"))
    _, first = ada.say("hi")
    path = ada.path(f"messages/{first['message_id']}/")
    with ada.opened("POST", path + "regenerate", {}) as reading:
        assert text_of(list(reading)) == "two"
    answer = ada.messages()[1]
    assert answer["content"] == "two"
    assert answer["variants"] == [first["message_id"], answer["id"]]
    assert ada.ask("POST", path + "select", {})[1]["message"]["content"] == "one"
    assert ada.messages()[1]["content"] == "one"


def test_bad_requests_name_their_field(ada):
    for said in ({}, {"content": ""}, {"content": 1}, {"content": "a\0b"}):
        status, body, _ = ada.ask("POST", ada.path("messages"), said)
        assert (status, "content" in body["error"]["message"]) == (400, True)
    status, body, _ = ada.ask("GET", ada.path("messages") + "?before_seq=x")
    assert (status, "before_seq" in body["error"]["message"]) == (400, True)
    assert ada.ask("POST", ada.path(f"messages/{2**70}/select"), {})[0] == 404
    assert ada.messages() == []


def plain(person, content="hi", last_event_id=None):
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    return person.opened("GET", person.path("stream") + f"?content={content}", None, headers)


def connected_again(person, times=5):
    """What a browser's EventSource does with a plain stream that ends, and ends, and ends."""
    source, statuses = EventSource(), []
    for _ in range(times):
        with plain(person, last_event_id=source.last_event_id or None) as reading:
            statuses.append(reading.response.status)
            if reading.response.status != 200:
                break
            source.feed(reading.response.read())
    return source, statuses


def test_the_plain_stream_is_the_text_on_data_lines(ada, mock_server):
    mock_server.script(Behaviour(text="one\ntwo\n\nthree"))
    source, statuses = connected_again(ada)
    assert source.text == "one\ntwo\n\nthree"
    assert (source.events[-1].kind, source.events[-1].data) == ("done", "[DONE]")
    assert statuses == [200, 204]
    assert ada.messages()[1]["content"] == "one\ntwo\n\nthree"


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(fault="status", status=401),
        Behaviour(text="一二三四五六", fault="close", after_pieces=3),
        Behaviour(text=""),
    ],
    ids=["before its first word", "in the middle", "without a word"],
)
def test_a_browser_says_nothing_again_after_an_answer_that_failed(ada, mock_server, behaviour):
    mock_server.script(behaviour)
    source, statuses = connected_again(ada)
    assert statuses == [200, 204]
    assert source.kinds[-1] == "done"
    assert len(mock_server.requests) == 1
    assert len(ada.messages()) == 2


def test_a_browser_that_connects_again_says_nothing_twice(ada, mock_server):
    mock_server.script(STALLED)
    source = EventSource()
    with plain(ada) as reading:
        while not source.last_event_id:  # it comes before the first word
            source.feed(reading.response.readline())
        generation_id, _, chars = source.last_event_id.partition(":")
        assert (generation_id, chars) == (reading.stream_id, "0")
        with plain(ada, last_event_id=source.last_event_id) as again:
            assert again.stream_id == generation_id
            with plain(ada) as double_click:
                assert double_click.stream_id == generation_id
            # Else it could be stopped before the model has been asked.
            mock_server.wait_until(lambda: mock_server.requests, 60)
            ada.ask("POST", f"/api/generations/{generation_id}/stop", {})
            source.feed(again.response.read())
    assert source.text == ada.messages()[1]["content"]
    assert len(ada.messages()) == 2
    assert len(mock_server.requests) == 1
    with plain(ada, last_event_id=source.last_event_id) as over:
        assert over.response.status == 204


def test_a_name_is_found_however_its_letters_are_composed(new_person, mock_server):
    zoe = new_person(role="Zo\u00eb")
    zoe.role = "Zoe\u0308"
    mock_server.script(Behaviour(text=SAID), Behaviour(text="anew"), Behaviour(text="plainly"))
    status, first = zoe.say("hi")
    assert (status, first["reply"]) == (200, SAID)
    assert [message["content"] for message in zoe.messages()] == ["hi", SAID]
    path = zoe.path(f"messages/{first['message_id']}/")
    with zoe.opened("POST", path + "regenerate", {}) as reading:
        assert text_of(list(reading)) == "anew"
    assert zoe.ask("POST", path + "select", {})[0] == 200
    with plain(zoe, "again") as reading:
        assert b"data: plainly\n" in reading.response.read()


def test_a_head_request_says_nothing(ada, mock_server):
    with ada.opened("HEAD", ada.path("stream") + "?content=hi") as reading:
        assert reading.response.status == 200
    assert mock_server.requests == []
    assert ada.messages() == []


def test_a_foreign_page_cannot_speak(ada, mock_server):
    path = ada.path("stream") + "?content=hi"
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert ada.ask("GET", path, None, headers)[0] == 403
    assert ada.ask("POST", ada.path("messages"), {"content": "hi"}, headers)[0] == 403
    assert mock_server.requests == []
