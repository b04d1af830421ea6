"""What the transports do with their connections: keep them, share them, and let go of them."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp import transports
from xwe.core.nlp.completion import Delta, TimeLimits
from xwe.errors import ClosedError, ProviderBadReplyError, SettingsError


def test_one_connection_serves_call_after_call_streams_included(open_transport, wire, ask):
    def script(request, connection):
        if b'"stream":true' in request:
            finish = wire.event("hi", finish_reason="stop")
            connection.sendall(wire.stream_start + wire.chunk(finish))
            connection.sendall(wire.chunk(wire.done) + wire.stream_end)
        else:
            connection.sendall(wire.reply(wire.completion()))

    server = wire.serve(script)
    transport = open_transport(server.url)
    for _ in range(3):
        assert transport.complete(ask()).text == "hi"
        assert list(transport.stream(ask())) == [Delta("hi", finish_reason="stop")]
    assert len(server.requests) == 6
    assert server.connections == 1


@pytest.mark.parametrize("transport_name", ["aiohttp"], indirect=True)
def test_a_connection_whose_body_ends_a_little_later_is_used_again(
    open_transport, wire, ask, monkeypatch
):
    # How little is the test's affair: it may be kept waiting itself.
    monkeypatch.setattr("xwe.core.nlp.transports.aiohttp_transport.TAIL_S", 60)
    was_read = threading.Event()

    def script(_, connection):
        finish = wire.event("hi", finish_reason="stop")
        connection.sendall(wire.stream_start + wire.chunk(finish + wire.done))
        was_read.wait(60)
        connection.sendall(wire.stream_end)

    server = wire.serve(script)
    transport = open_transport(server.url)
    assert list(transport.stream(ask())) == [Delta("hi", finish_reason="stop")]
    (lingering,) = transport.native._lingering
    was_read.set()
    get_loop_thread().run(lingering.content.wait_eof())
    assert list(transport.stream(ask())) == [Delta("hi", finish_reason="stop")]
    assert server.connections == 1
    assert len(server.requests) == 2


def test_a_body_whose_formal_end_never_comes_holds_nobody_up_and_is_cut(
    open_transport, wire, ask, monkeypatch
):
    monkeypatch.setattr("xwe.core.nlp.transports.aiohttp_transport.TAIL_S", 0.05)
    was_cut = threading.Event()

    def script(_, connection):
        finish = wire.event("hi", finish_reason="stop")
        connection.sendall(wire.stream_start + wire.chunk(finish + wire.done))
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        was_cut.set()
        return False

    transport = open_transport(wire.serve(script).url)
    assert list(transport.stream(ask())) == [Delta("hi", finish_reason="stop")]
    assert was_cut.wait(60)


def test_more_calls_at_once_than_connections_are_kept_all_get_their_reply(
    open_transport, mock_server, ask
):
    transport = open_transport(mock_server.base_url + "/chat/completions", pool_size=1)
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda n: transport.complete(ask(text=f"reply {n}")).text, range(32)))
    assert texts == [f"reply {n}" for n in range(32)]


@pytest.mark.parametrize("transport_name", ["aiohttp"], indirect=True)
def test_connections_beyond_those_to_be_kept_are_for_one_call(open_transport, wire, ask):
    all_there = threading.Barrier(3)

    def script(_, connection):
        all_there.wait(60)
        connection.sendall(wire.reply(wire.completion()))

    server = wire.serve(script)
    transport = open_transport(server.url, pool_size=1)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: transport.complete(ask()), range(3)))
    assert sum(b"connection: close" in request.lower() for request in server.requests) == 2


def test_many_streams_at_once_never_mix(transport, ask):
    def read(number):
        marker = f"<{number}>"
        pieces = transport.stream(ask(text=marker * 20))
        return "".join(piece.text for piece in pieces) == marker * 20

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(48)))


def test_cookies_are_not_kept(open_transport, wire, ask):
    cookie = "Set-Cookie: session=1; Path=/"
    reply = wire.reply(wire.completion(), headers=[cookie])
    server = wire.serve(lambda _, connection: connection.sendall(reply))
    transport = open_transport(server.url)
    transport.complete(ask())
    transport.complete(ask())
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_not_followed_with_the_key(open_transport, wire, ask, status):
    other = wire.serve(lambda _, connection: connection.sendall(wire.reply(wire.completion())))
    reply = wire.reply(b"", status=status, headers=[f"Location: {other.url}"])
    server = wire.serve(lambda _, connection: connection.sendall(reply))
    transport = open_transport(server.url)
    for call in (transport.complete, lambda request: list(transport.stream(request))):
        with pytest.raises(ProviderBadReplyError, match="redirects"):
            call(ask())
    assert other.requests == []


def test_a_proxy_gets_the_request_in_its_place(open_transport, wire, ask, monkeypatch):
    proxy = wire.serve(lambda _, connection: connection.sendall(wire.reply(wire.completion())))
    monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1/chat/completions"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    transport = open_transport("http://provider.invalid/v1/chat/completions")
    assert transport.complete(ask()).text == "hi"
    assert proxy.requests[0].startswith(b"POST http://provider.invalid/v1/chat/completions HTTP")


def test_an_address_with_a_query_is_asked_with_it(open_transport, wire, ask):
    server = wire.serve(lambda _, connection: connection.sendall(wire.reply(wire.completion())))
    open_transport(server.url + "?tenant=a%20b").complete(ask())
    assert server.requests[0].startswith(b"POST /v1/chat/completions?tenant=a%20b HTTP/1.1")


# --- the end ---


def test_closing_a_stream_closes_its_connection(transport, mock_server, ask):
    stream = transport.stream(ask(tokens_per_s=200, length=100_000))
    next(stream)
    stream.close()
    (received,) = mock_server.requests
    mock_server.wait_until(lambda: received.disconnected)


def test_a_closed_transport_says_so_and_can_be_closed_again(transport, ask):
    assert transport.complete(ask(text="hi")).text == "hi"
    transport.close()
    transport.close()
    with pytest.raises(ClosedError):
        transport.complete(ask())
    with pytest.raises(ClosedError):
        next(transport.stream(ask()))


def test_an_endpoint_that_is_none_is_refused_when_the_transport_is_made(open_transport):
    with pytest.raises(SettingsError, match="LLM_BASE_URL"):
        open_transport("not an address")


def test_a_name_that_is_no_transport_is_refused():
    with pytest.raises(SettingsError, match="requests, aiohttp, openai"):
        transports.open_transport("carrier-pigeon", "http://localhost/v1", "key")


def test_importing_the_package_imports_no_http_library():
    program = (
        "import sys; import xwe.core.nlp.transports, xwe.core.nlp.wire, json;"
        "print(json.dumps([name for name in ('aiohttp', 'requests', 'openai', 'httpx2')"
        " if name in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(out.stdout) == []


@pytest.mark.parametrize(("name", "library"), [("aiohttp", ["aiohttp"]), ("requests", [])])
def test_a_client_for_the_loop_has_its_library_before_a_call_could_hold_up_the_loop(name, library):
    program = (
        "import sys, json; from xwe import LLMClient;"
        f"client = LLMClient('key', 'http://localhost/v1', transport={name!r});"
        "print(json.dumps([name for name in ('aiohttp', 'openai') if name in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(out.stdout) == library


@pytest.mark.parametrize("transport_name", ["openai"], indirect=True)
def test_an_address_with_an_api_version_is_azures_and_gets_the_key_as_azure_wants_it(
    open_transport, wire, ask, key
):
    server = wire.serve(lambda _, connection: connection.sendall(wire.reply(wire.completion())))
    azure = server.url.replace("/v1/", "/openai/deployments/d/") + "?api-version=2024-10-21"
    assert open_transport(azure).complete(ask()).text == "hi"
    head = server.requests[0].partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("POST /openai/deployments/d/chat/completions?api-version=2024-10-21 ")
    assert f"\r\napi-key: {key}" in head


# --- the asynchronous side only ---

async_only = pytest.mark.parametrize("transport_name", ["aiohttp", "openai"], indirect=True)


@async_only
@pytest.mark.parametrize("fault", ["no_headers", "stall"])
def test_cancelling_a_call_closes_its_connection_while_nothing_comes(
    transport, mock_server, ask, fault
):
    request = ask(fault=fault, after_pieces=1)

    async def cancel():
        task = asyncio.create_task(transport.native.complete(request, TimeLimits()))
        await asyncio.to_thread(mock_server.wait_until, lambda: mock_server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    get_loop_thread().run(cancel(), 60)
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


@async_only
@pytest.mark.parametrize("after_pieces", [0, 3])
def test_cancelling_a_stream_closes_its_connection_while_nothing_comes(
    transport, mock_server, ask, after_pieces
):
    request = ask(fault="stall" if after_pieces else "no_headers", after_pieces=after_pieces)

    async def cancel():
        pieces = asyncio.Queue()

        async def read():
            async for delta in transport.native.stream(request, TimeLimits()):
                pieces.put_nowait(delta)

        task = asyncio.create_task(read())
        for _ in range(after_pieces):
            await pieces.get()
        await asyncio.to_thread(mock_server.wait_until, lambda: mock_server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    get_loop_thread().run(cancel(), 60)
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


@async_only
def test_closing_the_transport_ends_running_calls(transport, mock_server, ask):
    async def close():
        calls = [
            asyncio.create_task(transport.native.complete(ask(fault=fault), TimeLimits()))
            for fault in ("no_headers", "stall")
        ]
        stream = transport.native.stream(ask(fault="stall", after_pieces=1), TimeLimits())
        await anext(stream)
        calls.append(asyncio.ensure_future(anext(stream)))
        await asyncio.to_thread(
            mock_server.wait_until, lambda: len(mock_server.requests) == len(calls)
        )
        await transport.native.aclose()
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = get_loop_thread().run(close(), 60)
    assert [type(outcome) for outcome in outcomes] == [ClosedError] * 3


def silences(ask):
    """Three ways in which a model falls silent: before a reply, within it, within a stream."""
    return [
        ("complete", ask(fault="no_headers")),
        ("complete", ask(fault="stall")),
        ("stream", ask(fault="stall", after_pieces=1)),
    ]


@pytest.mark.parametrize("transport_name", ["requests"], indirect=True)
def test_closing_the_transport_frees_the_threads_that_wait_for_a_silent_model(
    transport, mock_server, ask
):
    """Their limits are far away: nothing else could have ended them."""
    limits = TimeLimits(first_token_s=3600, idle_s=3600, total_s=3600)
    waiting = threading.Semaphore(0)

    def wait_for_the_model(method, request):
        reply = getattr(transport, method)(request, limits)
        for _ in reply:
            waiting.release()

    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(wait_for_the_model, *silence) for silence in silences(ask)]
        mock_server.wait_until(lambda: len(mock_server.requests) == len(calls))
        assert waiting.acquire(timeout=60), "the stream's first piece has come"
        transport.close()
        outcomes = [call.exception(60) for call in calls]
    assert [type(outcome) for outcome in outcomes] == [ClosedError] * 3
    mock_server.wait_until(lambda: all(each.disconnected for each in mock_server.requests))


@pytest.mark.parametrize("transport_name", ["requests"], indirect=True)
def test_a_connection_that_was_being_made_when_the_transport_was_closed_is_not_used(
    open_transport, wire, ask, monkeypatch
):
    server = wire.serve(lambda _, connection: connection.sendall(wire.reply(wire.completion())))
    transport = open_transport(server.url)
    connect = urllib3.util.connection.create_connection

    def close_while_connecting(*args, **kwargs):
        made = connect(*args, **kwargs)
        transport.close()
        return made

    monkeypatch.setattr("urllib3.util.connection.create_connection", close_while_connecting)
    with pytest.raises(ClosedError):
        transport.complete(ask())
    assert server.requests == []


FORK = """
import logging, os, sys
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.completion import CompletionRequest, TimeLimits
from xwe.core.nlp.transports import open_transport

logging.getLogger("xwe.loop").setLevel(logging.ERROR)  # a busy machine may hold up any loop
transport = open_transport(sys.argv[1], sys.argv[2], "key")
request = CompletionRequest(messages=[{"role": "user", "content": "hi"}], model="m")

def ask():
    get_loop_thread().run(transport.complete(request, TimeLimits()))

ask()
child = os.fork()
ask()
if child:
    _, status = os.waitpid(child, 0)
    ask()
get_loop_thread().run(transport.aclose())
sys.exit(status if child else 0)
"""


@async_only
def test_parent_and_child_of_a_fork_each_have_connections_of_their_own(transport_name, mock_server):
    url = mock_server.base_url + "/chat/completions"
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", FORK, transport_name, url]
    out = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (out.returncode, out.stderr) == (0, "")
    assert len(mock_server.requests) == 4
