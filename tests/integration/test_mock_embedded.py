"""The model server in its own thread: scripted, observed, and closed without leaks."""

import asyncio
import contextlib
import http.client
import json
import threading
import time
from contextlib import closing
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
import pytest

from xwe.mock import Behaviour, MockServer, Rule, chat
from xwe.mock.demo_model.answering import answer
from xwe.mock.server import ModelServer

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def server():
    with MockServer() as running:
        yield running


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as opened:
        yield opened


def url(server):
    return server.base_url + "/chat/completions"


async def ask(session, server, **mock):
    async with session.post(url(server), json={**QUESTION, "mock": mock}) as response:
        body = await response.json()
        return response.status, body


async def test_a_script_is_followed_in_order_and_then_the_default_again(server, session):
    server.script(Behaviour(fault="status", status=503), Behaviour(text="scripted"))
    replies = [await ask(session, server, seed=1) for _ in range(3)]
    assert [status for status, _ in replies] == [503, 200, 200]
    assert replies[1][1]["choices"][0]["message"]["content"] == "scripted"
    assert "demo" in replies[2][1]["choices"][0]["message"]["content"]


async def test_a_requests_own_wishes_go_before_the_script(server, session):
    server.script(Behaviour(text="scripted", finish_reason="content_filter"))
    _, body = await ask(session, server, text="own")
    choice = body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("own", "content_filter")


async def test_requests_are_seen_in_the_order_of_their_arrival(server, session):
    for text in ("one", "two"):
        await ask(session, server, text=text)
    first, second = server.requests
    assert [r.body["mock"]["text"] for r in (first, second)] == ["one", "two"]
    assert first.path == "/v1/chat/completions"
    assert first.headers["content-type"] == "application/json"
    assert first.finished
    assert not first.disconnected


async def test_a_reset_forgets_requests_and_script(server, session):
    server.script(Behaviour(fault="status"))
    await asyncio.to_thread(server.reset)
    status, _ = await ask(session, server)
    assert (status, len(server.requests)) == (200, 1)


def test_a_request_that_was_sent_before_a_reset_takes_nothing_of_the_script_after_it(server):
    """The server has not seen it by then: its loop is busy with another request."""
    is_busy, may_go_on = threading.Event(), threading.Event()

    def keep_busy(_body):
        is_busy.set()
        return may_go_on.wait()

    def begin_anew():
        server.reset()
        server.script(Behaviour(text="of the next"))

    address = urlsplit(server.base_url).netloc
    server.follow(Rule(keep_busy, Behaviour()))
    with (
        closing(http.client.HTTPConnection(address)) as other,
        closing(http.client.HTTPConnection(address)) as connection,
    ):
        other.request("POST", "/v1/chat/completions", json.dumps(QUESTION))
        is_busy.wait()
        connection.request("POST", "/v1/chat/completions", json.dumps(QUESTION))
        beginning = threading.Thread(target=begin_anew)
        beginning.start()
        beginning.join(0.2)  # a reset that does not wait has ended by then
        may_go_on.set()
        beginning.join()
        assert b"of the next" not in connection.getresponse().read()
        connection.request("POST", "/v1/chat/completions", json.dumps(QUESTION))
        assert b"of the next" in connection.getresponse().read()


@pytest.mark.parametrize(
    "mock",
    [
        {"fault": "no_headers"},
        {"latency_s": 600},
        {"fault": "stall", "after_pieces": 1},
        {"tokens_per_s": 0.01},
        {"fault": "drip", "interval_s": 600},
        {"tokens_per_s": 0.01, "write_bytes": 1},
    ],
)
async def test_a_client_that_leaves_is_noticed_while_nothing_is_written(server, mock):
    async def read():
        body = {**QUESTION, "stream": True, "mock": mock}
        async with aiohttp.request("POST", url(server), json=body) as response:
            await response.read()

    asking = asyncio.create_task(read())
    try:
        await asyncio.to_thread(server.wait_until, lambda: server.requests)
    finally:
        asking.cancel()
        await asyncio.wait([asking])
    await asyncio.to_thread(server.wait_until, lambda: server.requests[0].disconnected)
    assert not server.requests[0].finished


async def test_pieces_never_come_before_they_are_due(server, session):
    body = {**QUESTION, "stream": True, "mock": {"length": 41, "tokens_per_s": 200}}
    body["mock"]["latency_s"] = 0.1
    asked = time.monotonic()
    async with session.post(url(server), json=body) as response:
        arrived = [
            time.monotonic() - asked
            async for line in response.content
            if b'"content":' in line and b'"role"' not in line
        ]
    assert len(arrived) == 41
    # The server's clock starts after ours, and it may send half a millisecond early.
    assert all(at > 0.1 + index / 200 - 0.001 for index, at in enumerate(arrived))


async def test_many_streams_share_one_pace(server, session):
    async def count(length):
        body = {**QUESTION, "stream": True, "mock": {"length": length, "tokens_per_s": 400}}
        async with session.post(url(server), json=body) as response:
            text = (await response.read()).decode()
        assert text.endswith("data: [DONE]\n\n")
        return text.count('"delta":{"content":')

    lengths = [1 + index % 40 for index in range(100)]
    assert await asyncio.gather(*map(count, lengths)) == lengths


async def test_a_slow_reader_gets_everything_and_holds_up_nobody(server, session):
    """More than the sockets can hold: the paced stream waits for its reader."""
    big = {**QUESTION, "stream": True, "mock": {"length": 60_000, "tokens_per_s": 1e6}}
    async with session.post(url(server), json=big) as slow:
        status, _ = await ask(session, server)
        assert status == 200
        text = (await slow.read()).decode()
    assert text.count('"delta":{"content":') == 60_000


@pytest.fixture
def waits_with(monkeypatch):
    """Replaces the sleep of the server's chats, and of nothing else."""

    def waits_with(sleep):
        changed = SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
        monkeypatch.setattr(chat, "asyncio", changed)

    return waits_with


async def test_a_hundred_plain_requests_wait_together(server, session, waits_with):
    waited_s, all_wait = [], asyncio.Event()

    async def until_all_wait(seconds):
        waited_s.append(seconds)
        if len(waited_s) == 100:
            all_wait.set()
        async with asyncio.timeout(60):
            await all_wait.wait()

    waits_with(until_all_wait)
    replies = await asyncio.gather(*(ask(session, server, latency_s=600) for _ in range(100)))
    assert {status for status, _ in replies} == {200}
    assert min(waited_s) > 0


async def test_the_making_of_a_reply_is_part_of_its_latency(
    server, session, monkeypatch, waits_with
):
    making_s = 0.1
    slept = []

    def answer_slowly(body, behaviour):
        time.sleep(making_s)
        return answer(body, behaviour)

    async def note(seconds):
        slept.append(seconds)

    monkeypatch.setattr(chat, "answer", answer_slowly)
    waits_with(note)
    await ask(session, server, latency_s=600)
    (waited_s,) = slept
    assert 0 < waited_s < 600 - making_s / 2  # half is a margin for the clocks


def test_closing_ends_everything_at_once():
    """Hanging requests, idle connections, the thread: nothing is left."""
    before = set(threading.enumerate())
    server = MockServer(Behaviour(fault="stall")).start()
    address = url(server)

    async def leave_open():
        async with aiohttp.ClientSession() as session:
            async with session.post(address, json={**QUESTION, "mock": {"fault": None}}) as idle:
                await idle.read()
            asking = [
                asyncio.create_task(session.post(address, json={**QUESTION, "mock": mock}))
                for mock in ({"fault": "no_headers"}, {"fault": None, "latency_s": 600})
            ]
            await asyncio.to_thread(server.wait_until, lambda: len(server.requests) == 3)
            await asyncio.to_thread(server.close)
            results = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(result, aiohttp.ClientError) for result in results)

    asyncio.run(leave_open())
    assert set(threading.enumerate()) <= before
    assert [(r.finished, r.disconnected) for r in server.requests[1:]] == [(False, False)] * 2
    server.close()


async def test_a_request_that_comes_during_the_stop_does_not_hold_it_up():
    server = ModelServer(Behaviour(fault="no_headers"))
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0)  # the loop accepts the connection in this turn
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    await asyncio.wait_for(server.stop(), 20)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
    await server.stop()


async def test_a_server_can_be_started_again_and_twice_is_once():
    # An address of its own: nobody takes the port in between.
    server = MockServer(host="127.0.0.2")
    with server as first:
        address = first.base_url
        assert first.start().base_url == address
    with server:
        assert server.base_url == address
        async with aiohttp.request("POST", url(server), json=QUESTION) as response:
            assert response.status == 200


async def test_it_listens_on_other_addresses_too():
    with MockServer(host="::1") as server:
        assert server.base_url.startswith("http://[::1]:")
        async with aiohttp.request("POST", url(server), json=QUESTION) as response:
            assert response.status == 200


def test_nothing_is_started_before_the_start():
    before = set(threading.enumerate())
    MockServer(Behaviour(latency_s=1))
    assert set(threading.enumerate()) <= before
