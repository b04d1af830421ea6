"""`GET /ws` on a real wire, read by a client library: answers, news, refusals and the end."""

import signal
import socket
import struct
import threading
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from stream_client import post, reading
from websocket_client import refusal, talking
from websockets.exceptions import ConnectionClosed, InvalidStatus
from werkzeug.serving import make_server

from xwe.mock import Behaviour
from xwe.settings import load_settings
from xwe.web import create_app

TEXT = "桥把两岸轻轻缝合，😀 and the river goes on. " * 3
SILENT = Behaviour(text=TEXT, fault="stall", after_pieces=3)


@pytest.fixture(scope="module")
def server(serve):
    return serve(XWE_MAX_BODY="5000", XWE_MAX_LLM_RETRIES="1")


def events_of(heard, stream):
    return [
        (message["number"], message["event"])
        for message in heard
        if message["type"] == "event" and message["stream"] == stream
    ]


def text_of(events):
    return "".join(event["delta"] for _, event in events if event["type"] == "text-delta")


def test_an_answer_comes_as_the_same_events_as_over_http(server, mock_server):
    mock_server.script(Behaviour(text=TEXT))
    with talking(server.url) as talk:
        started = talk.ask(type="chat", message="你好", id="mine")
        assert started["type"] == "started"
        assert started["id"] == "mine"
        stream = started["stream"]
        heard = talk.hear_until("done")
        assert heard[-1] == {"type": "done", "stream": stream}
    events = events_of(heard, stream)
    assert text_of(events) == TEXT
    with reading(server.url, f"/api/generations/{stream}/events") as reader:
        assert list(reader) == events
    assert mock_server.requests[-1].body["messages"] == [{"role": "user", "content": "你好"}]


def test_a_conversation_can_be_sent_whole(server, mock_server):
    said = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    with talking(server.url) as talk:
        talk.say(type="chat", messages=said, message="3")
        talk.hear_until("done")
    sent = mock_server.requests[-1].body["messages"]
    assert [message["content"] for message in sent] == ["1", "2", "3"]


def test_several_answers_share_a_connection_and_none_gets_the_others_words(server, mock_server):
    slow = [Behaviour(text=mark * 20, tokens_per_s=100) for mark in "甲乙丙"]
    mock_server.script(*slow)
    with talking(server.url) as talk:
        for index in range(3):
            talk.say(type="chat", message="hi", id=index)
        heard, done = [], set()
        while len(done) < 3:
            heard.append(talk.hear())
            if heard[-1]["type"] == "done":
                done.add(heard[-1]["stream"])
    texts = {text_of(events_of(heard, stream)) for stream in done}
    assert texts == {mark * 20 for mark in "甲乙丙"}


def test_a_client_that_lost_its_connection_goes_on_where_it_was(server, mock_server):
    mock_server.script(Behaviour(text=TEXT, tokens_per_s=60))
    with talking(server.url) as talk:
        talk.say(type="chat", message="hi")
        heard = talk.until_text()
        stream = heard[0]["stream"]
        last = heard[-1]["number"]
    with talking(server.url) as talk:
        talk.say(type="rejoin", stream=stream, after=last)
        heard += talk.hear_until("done")
    events = events_of(heard, stream)
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert text_of(events) == TEXT


def test_stop_ends_an_answer_and_closes_the_upstream_request(server, mock_server):
    mock_server.script(SILENT)
    with talking(server.url) as talk:
        talk.say(type="chat", message="hi")
        stream = talk.until_text()[0]["stream"]
        talk.say(type="stop", stream=stream)
        heard = talk.hear_until("done")
    assert events_of(heard, stream)[-1][1] == {"type": "abort"}
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("nonsense", "invalid_request"),
        ("[1]", "invalid_request"),
        ('"\\ud800"', "invalid_request"),
        ("[" * 3000, "invalid_request"),
        ("{}", "invalid_request"),
        ('{"type": "dance"}', "invalid_request"),
        ('{"type": ["chat"]}', "invalid_request"),
        ('{"type": "chat"}', "invalid_request"),
        ('{"type": "chat", "messages": []}', "invalid_request"),
        ('{"type": "rejoin", "stream": 7}', "invalid_request"),
        ('{"type": "rejoin", "stream": "unknown"}', "not_found"),
        ('{"type": "stop", "stream": "unknown"}', "not_found"),
    ],
)
def test_a_message_that_is_wrong_is_answered_and_the_connection_stays(server, sent, code):
    with talking(server.url) as talk:
        talk.socket.send(sent)
        heard = talk.hear()
        assert heard["type"] == "error"
        assert heard["error"]["code"] == code
        assert heard["error"]["retryable"] is False
        assert talk.ask(type="ping", id=1) == {"type": "pong", "id": 1}


@pytest.mark.parametrize(
    ("sent", "code"), [("x" * 6000, 1009), (b"binary", 1003)], ids=["long", "binary"]
)
def test_what_cannot_be_taken_closes_the_connection(server, sent, code):
    with talking(server.url) as talk:
        talk.socket.send(sent)
        with pytest.raises(ConnectionClosed) as closed:
            talk.hear()
    assert closed.value.rcvd.code == code


def test_a_model_that_fails_is_an_event_of_the_answer(server, mock_server):
    mock_server.script(Behaviour(fault="status", status=401))
    with talking(server.url) as talk:
        talk.say(type="chat", message="hi")
        heard = talk.hear_until("done")
    assert heard[-2]["event"]["type"] == "error"
    assert heard[-2]["event"]["code"] == "provider_auth"


def test_a_page_of_another_site_is_refused_before_the_upgrade(server):
    foreign = refusal(server.url, Origin="https://evil.example")
    assert foreign.status_code == 403
    assert b"foreign_origin" in foreign.body
    assert refusal(server.url, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    with talking(server.url, additional_headers={"Origin": server.url}) as talk:
        assert talk.ask(type="ping")["type"] == "pong"


def test_where_a_login_is_asked_for_the_token_opens_the_door(serve):
    server = serve(XWE_ACCESS="login", XWE_API_TOKEN="sesame-sesame-sesame")
    assert refusal(server.url).status_code == 401
    token = {"Authorization": "Bearer sesame-sesame-sesame"}
    with talking(server.url, additional_headers=token) as talk:
        assert talk.ask(type="ping")["type"] == "pong"


def test_an_ordinary_request_is_told_that_this_is_no_page(server):
    status, reply = post(server.url, "/ws")
    assert status in {400, 405}
    with reading(server.url, "/ws") as reader:
        assert reader.response.status == 400
    assert reply["error"]["code"]


def test_connections_are_capped_and_places_come_back_on_every_way_out(serve):
    server = serve(XWE_MAX_STREAMS="1", LLM_MAX_INFLIGHT="1")
    with talking(server.url), talking(server.url):
        refused = refusal(server.url)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
    for way_out in ("orderly", "reset", "broken") * 2:
        with admitted(server.url) as talk:
            assert talk.ask(type="ping")["type"] == "pong"
            if way_out == "reset":
                raw = talk.socket.socket
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if way_out != "orderly":
                talk.socket.socket.shutdown(socket.SHUT_RDWR)
    with admitted(server.url), admitted(server.url):
        pass
    assert "ERROR" not in server.log


@contextmanager
def admitted(url):
    """A connection, once there is a place again."""
    with ExitStack() as stack:
        while True:
            with suppress(InvalidStatus):
                talk = stack.enter_context(talking(url))
                break
        yield talk


def test_a_silent_client_is_asked_and_one_that_does_not_answer_has_gone(serve):
    """By hand, since every library answers a ping."""
    address = urlsplit(serve(XWE_STREAM_HEARTBEAT="0.3").url)
    with socket.create_connection((address.hostname, address.port), 60) as client:
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        received = b""
        while chunk := client.recv(1000):
            received += chunk
    head, _, frames = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert frames == b"\x89\x00"  # one ping without content, then the end


def test_a_reader_that_leaves_is_gone_from_its_answer(serve, mock_server):
    """With "cancel", an answer that nobody reads is ended: so its reader was counted out."""
    server = serve(XWE_STREAM_ON_DISCONNECT="cancel", XWE_STREAM_ALONE="2", LLM_IDLE_TIMEOUT="600")
    mock_server.script(SILENT)
    with talking(server.url) as talk:
        talk.say(type="chat", message="hi")
        talk.until_text()
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)


def test_sigterm_ends_idle_connections_at_once_and_the_others_with_their_answers(
    serve, mock_server
):
    server = serve(XWE_DRAIN_TIMEOUT="120", LLM_IDLE_TIMEOUT="600")
    mock_server.script(SILENT)
    with talking(server.url) as idle, talking(server.url) as busy:
        assert idle.ask(type="ping")["type"] == "pong"
        busy.say(type="chat", message="hi")
        stream = busy.until_text()[0]["stream"]
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            idle.hear()
        assert closed.value.rcvd.code == 1001
        busy.say(type="chat", message="more")
        refused = busy.hear_until("error")[-1]
        assert (refused["error"]["code"], refused["error"]["retryable"]) == ("draining", True)
        busy.say(type="stop", stream=stream)
        heard = busy.hear_until("done")
        assert events_of(heard, stream)[-1][1] == {"type": "abort"}
        with pytest.raises(ConnectionClosed) as closed:
            busy.hear()
        assert closed.value.rcvd.code == 1001
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.log


def test_an_answer_that_outlasts_the_drain_says_so_and_its_connection_ends(serve, mock_server):
    server = serve(XWE_DRAIN_TIMEOUT="0.5", LLM_IDLE_TIMEOUT="600")
    mock_server.script(SILENT)
    with talking(server.url) as talk:
        talk.say(type="chat", message="hi")
        stream = talk.until_text()[0]["stream"]
        server.process.send_signal(signal.SIGTERM)
        heard = talk.hear_until("done")
        assert events_of(heard, stream)[-1][1]["type"] == "data-shutdown"
        with pytest.raises(ConnectionClosed) as closed:
            talk.hear()
        assert closed.value.rcvd.code == 1001
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.log


@pytest.fixture
def development_app(mock_server):
    """The application under Werkzeug's server, within reach of the test."""
    provider = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": mock_server.base_url}
    app = create_app(load_settings(provider))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = False  # so that they are waited for
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    app.url = f"http://127.0.0.1:{server.port}"
    yield app
    server.shutdown()
    server.server_close()
    serving.join()
    app.close()


def test_who_subscribes_is_told_what_is_published_from_then_on(development_app):
    publish = development_app.services.notifications.publish
    assert publish("-", b'{"job": 0}') == 0
    with talking(development_app.url) as one, talking(development_app.url) as other:
        assert one.ask(type="subscribe", id=5) == {"type": "subscribed", "id": 5}
        assert one.ask(type="subscribe") == {"type": "subscribed"}
        assert other.ask(type="subscribe") == {"type": "subscribed"}
        assert publish("-", b'{"job": 1}') == 2
        assert publish("somebody else", b"{}") == 0
        for talk in (one, other):
            assert talk.hear() == {"type": "notification", "notification": {"job": 1}}


def test_everything_is_given_back_under_werkzeugs_server_too(development_app, mock_server):
    mock_server.script(SILENT)
    with talking(development_app.url) as talk:
        talk.ask(type="subscribe")
        talk.say(type="chat", message="hi")
        stream = talk.until_text()[0]["stream"]
        assert development_app.reader_slots.stats().running == 1
    with talking(development_app.url) as talk:
        talk.say(type="stop", stream=stream)
        talk.ask(type="ping")
    while development_app.reader_slots.stats().running:
        pass
    assert development_app.services.notifications.publish("-", b"{}") == 0
    assert development_app.wake_at_drain == set()
