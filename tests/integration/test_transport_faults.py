"""What one attempt makes of each way in which a provider fails: same errors, all three transports.

(What the retries, the breaker and the deadline make of these errors is the call path's affair.)
"""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.completion import Delta, TimeLimits
from xwe.errors import (
    ProviderAuthError,
    ProviderBadReplyError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderStatusError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    StreamInterruptedError,
)

# --- too slow ---


def all_left(mock_server):
    """Wait until no request is answered any more.

    On a busy machine a short limit may end an attempt before its request is out.
    """
    mock_server.wait_until(lambda: all(each.disconnected for each in mock_server.requests), 60)


def test_no_headers_ends_at_the_limit_of_the_first_byte(attempt, mock_server, ask):
    error = attempt(ask(fault="no_headers"), TimeLimits(first_token_s=0.2))
    assert isinstance(error, ProviderTimeoutError)
    assert "0.2 s" in error.message
    all_left(mock_server)


def test_headers_without_a_first_byte_end_a_stream_at_the_same_limit(transport, ask):
    limits = TimeLimits(first_token_s=0.2)
    error, pieces = transport.failed_stream(ask(fault="stall"), limits)
    assert isinstance(error, ProviderTimeoutError)
    assert pieces == []


def test_a_stall_in_mid_stream_ends_at_the_idle_limit_and_keeps_what_came(
    open_transport, wire, ask
):
    was_left = threading.Event()

    def script(_, connection):
        # In one piece, so that there is no pause before the one that counts.
        chunks = [wire.chunk(wire.event(str(number))) for number in range(4)]
        connection.sendall(wire.stream_start + b"".join(chunks))
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        was_left.set()
        return False

    transport = open_transport(wire.serve(script).url)
    error, pieces = transport.failed_stream(ask(), TimeLimits(idle_s=0.2))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "idle"
    assert [piece.text for piece in pieces] == ["0", "1", "2", "3"]
    assert was_left.wait(60)


def test_a_whole_reply_that_stalls_ends_at_the_total_limit(transport, ask):
    request = ask(fault="stall", after_pieces=2)
    error = transport.failed_whole(request, TimeLimits(total_s=0.3))
    assert isinstance(error, ProviderTimeoutError)
    assert "0.3 s" in error.message


def test_a_whole_reply_that_has_begun_in_time_may_take_its_time(open_transport, wire, ask):
    def script(_, connection):
        reply = wire.reply(wire.completion())
        connection.sendall(reply[:-1])
        time.sleep(6)
        connection.sendall(reply[-1:])

    transport = open_transport(wire.serve(script).url)
    limits = TimeLimits(first_token_s=5, idle_s=5, total_s=100)
    assert transport.complete(ask(), limits).text == "hi"


def test_a_byte_now_and_then_is_cut_at_the_total_limit(transport, ask):
    request = ask(fault="drip", after_pieces=2, interval_s=0.02)
    # Long enough for what comes before the drip, on a busy machine too.
    error, pieces = transport.failed_stream(request, TimeLimits(idle_s=60, total_s=3))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "total"
    assert len(pieces) >= 2
    error = transport.failed_whole(request, TimeLimits(idle_s=60, total_s=0.5))
    assert isinstance(error, ProviderTimeoutError)


def test_headers_that_come_byte_by_byte_are_cut_at_the_limit_too(open_transport, wire, ask):
    gone = threading.Event()

    def script(_, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not gone.wait(0.1):  # not so fast that they become too many
            connection.sendall(b"X-Slow: 1\r\n")

    transport = open_transport(wire.serve(script).url)
    limits = TimeLimits(first_token_s=0.3)
    error = transport.failed_whole(ask(), limits)
    gone.set()
    assert isinstance(error, ProviderTimeoutError)


def test_comments_keep_a_stream_alive_that_thinks_for_long(open_transport, wire, ask):
    def script(_, connection):
        connection.sendall(wire.stream_start)
        for _ in range(10):
            connection.sendall(wire.chunk(b": still thinking\n\n"))
            time.sleep(0.5)
        finish = wire.event("hi", finish_reason="stop")
        connection.sendall(wire.chunk(finish + wire.done) + wire.stream_end)

    transport = open_transport(wire.serve(script).url)
    stream = transport.stream(ask(), TimeLimits(first_token_s=4, idle_s=4, total_s=100))
    assert list(stream) == [Delta("hi", finish_reason="stop")]


def test_a_reader_that_takes_its_time_is_not_the_providers_fault(transport, ask):
    request, limits = ask(text="some words to read"), TimeLimits(idle_s=0.3)

    async def read():
        stream = transport.native.stream(request, limits)
        pieces = [await anext(stream)]
        await asyncio.sleep(0.5)
        return [*pieces, *[piece async for piece in stream]]

    if transport.is_async:
        pieces = get_loop_thread().run(read())
    else:
        stream = transport.stream(request, limits)
        pieces = [next(stream)]
        time.sleep(0.5)
        pieces.extend(stream)
    assert "".join(piece.text for piece in pieces) == "some words to read"


# --- broken connections ---


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_a_connection_that_ends_before_the_first_byte_means_unreachable(attempt, ask, fault):
    error = attempt(ask(fault=fault))
    assert isinstance(error, ProviderUnreachableError)
    assert "127.0.0.1:" in error.message
    assert "LLM_BASE_URL" in error.message


@pytest.mark.parametrize(("fault", "reason"), [("reset", "reset"), ("close", "truncated")])
def test_a_connection_that_ends_in_mid_stream_interrupts_it(transport, ask, fault, reason):
    error, pieces = transport.failed_stream(ask(fault=fault, after_pieces=3))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == reason
    assert len(pieces) == 3


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_half_a_whole_reply_is_no_reply(transport, ask, fault):
    request = ask(fault=fault, after_pieces=2)
    error = transport.failed_whole(request)
    assert isinstance(error, ProviderUnreachableError)


def test_a_body_that_is_shorter_than_it_says_is_no_reply(open_transport, wire, ask):
    def script(_, connection):
        connection.sendall(wire.reply(wire.completion())[:-1])
        return False

    transport = open_transport(wire.serve(script).url)
    error = transport.failed_whole(ask())
    assert isinstance(error, ProviderUnreachableError)


@pytest.mark.parametrize("fault", ["truncate", "no_finish_reason"])
def test_a_stream_without_its_finish_is_never_taken_for_whole(transport, ask, fault):
    error, pieces = transport.failed_stream(ask(fault=fault, after_pieces=3))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "truncated"
    assert len(pieces) >= 3


def test_half_a_tool_call_ends_in_an_interruption(transport, ask):
    calls = [{"name": "transfer", "arguments": '{"amount": 100000}'}]
    request = ask(tool_calls=calls, fault="truncate", after_pieces=3)
    error, pieces = transport.failed_stream(request)
    assert isinstance(error, StreamInterruptedError)
    assert not any(piece.finish_reason for piece in pieces)


def test_nobody_listening_means_unreachable(open_transport, ask):
    with socket.socket() as taken:  # nobody else gets its port, and nobody listens on it
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        transport = open_transport(f"http://127.0.0.1:{port}/v1/chat/completions")
        for error in transport.failed_either_way(ask()):
            assert isinstance(error, ProviderUnreachableError)
            assert f"127.0.0.1:{port}: connection refused" in error.message


def test_a_host_that_accepts_no_connection_is_given_up_in_time(open_transport, ask):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        # The system completes connections until the backlog is full, and then drops the rest.
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        transport = open_transport(
            f"http://127.0.0.1:{address[1]}/v1/chat/completions", connect_s=0.2
        )
        error = transport.failed_whole(ask())
        for filler in fillers:
            filler.close()
    assert isinstance(error, ProviderUnreachableError)
    assert "no connection in time" in error.message


def test_something_that_speaks_no_http_is_a_bad_reply(open_transport, wire, ask):
    def script(_, connection):
        connection.sendall(b"220 smtp.example.com ESMTP\r\n\r\n")
        return False

    transport = open_transport(wire.serve(script).url)
    for error in transport.failed_either_way(ask()):
        assert isinstance(error, ProviderBadReplyError)


# --- names ---


@pytest.fixture
def resolver(monkeypatch):
    """Names that end in .invalid are looked up by the test; no query leaves the machine."""
    real = socket.getaddrinfo
    answers = []

    def look_up(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.endswith(".invalid"):
            return answers[0]()
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


NOWHERE = "http://nowhere.invalid/v1/chat/completions"


def run_native(transport, request, limits):
    """The call in a plain asyncio loop: the resident one resolves names below Python."""
    if not transport.is_async:
        return transport.complete(request, limits)

    async def call():
        try:
            return await transport.native.complete(request, limits)
        finally:
            await transport.native.aclose()

    return asyncio.run(call())


def test_a_name_that_is_unknown_means_unreachable(open_transport, resolver, ask):
    def unknown():
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolver.append(unknown)
    with pytest.raises(ProviderUnreachableError) as caught:
        run_native(open_transport(NOWHERE), ask(), TimeLimits())
    assert "nowhere.invalid:80: its host name is unknown" in caught.value.message


@pytest.mark.parametrize("transport_name", ["aiohttp", "openai"], indirect=True)
def test_a_resolver_that_hangs_blocks_neither_the_loop_nor_the_caller(
    open_transport, resolver, ask
):
    released, has_hung = threading.Event(), threading.Event()

    def hang():
        released.wait(60)
        has_hung.set()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    resolver.append(hang)
    transport = open_transport(NOWHERE, connect_s=0.3)

    async def call():
        try:
            with pytest.raises(ProviderUnreachableError):
                await transport.native.complete(ask(), TimeLimits())
            # So the loop went on: it is what noticed the limit.
            assert not has_hung.is_set()
        finally:
            released.set()
            await transport.native.aclose()

    asyncio.run(call())
    assert has_hung.wait(60)


# --- refusals ---


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejectedError),
        (401, ProviderAuthError),
        (403, ProviderAuthError),
        (404, ProviderRejectedError),
        (422, ProviderRejectedError),
        (429, ProviderRateLimitedError),
        (500, ProviderStatusError),
        (502, ProviderStatusError),
        (503, ProviderStatusError),
        (529, ProviderStatusError),
    ],
)
def test_a_refusal_is_named_by_its_status(attempt, ask, status, kind):
    error = attempt(ask(fault="status", status=status))
    assert type(error) is kind
    assert getattr(error, "status", status) == status


def test_a_limit_tells_when_to_come_back(attempt, ask):
    error = attempt(ask(fault="status", status=429, retry_after_s=3))
    assert error.retry_after_s == 3
    assert not error.quota_exhausted


def test_an_empty_account_is_told_from_a_limit(attempt, ask):
    error = attempt(ask(fault="status", status=429, error_code="insufficient_quota"))
    assert error.quota_exhausted


# --- nonsense ---


@pytest.mark.parametrize("fault", ["malformed_json", "html", "wrong_type"])
def test_nonsense_under_status_200_is_a_bad_reply(attempt, ask, fault):
    error = attempt(ask(fault=fault))
    assert isinstance(error, ProviderBadReplyError)
    assert not error.retryable
    assert len(error.message) < 300


@pytest.mark.parametrize("fault", ["malformed_json", "wrong_type", "error_event"])
def test_nonsense_in_mid_stream_interrupts_after_what_came(transport, ask, fault):
    error, pieces = transport.failed_stream(ask(fault=fault, after_pieces=3))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "error"
    assert len(pieces) == 3


def test_an_error_event_before_the_first_piece_is_that_error(transport, ask):
    request = ask(fault="error_event", error_code="rate_limit_exceeded")
    error, pieces = transport.failed_stream(request)
    assert isinstance(error, ProviderRateLimitedError)
    assert pieces == []


def test_json_as_deep_as_a_well_is_a_bad_reply(open_transport, wire, ask):
    reply = wire.reply(b'{"a":' * 100_000)
    server = wire.serve(lambda _, connection: connection.sendall(reply))
    error = open_transport(server.url).failed_whole(ask())
    assert isinstance(error, ProviderBadReplyError)


def test_a_body_in_garbled_chunks_is_no_reply(open_transport, wire, ask):
    was_read = threading.Event()

    def script(_, connection):
        connection.sendall(wire.stream_start + wire.chunk(wire.event("hi")))
        was_read.wait(60)
        connection.sendall(b"no length\r\n")
        return False

    transport = open_transport(wire.serve(script).url)
    # aiohttp closes the connection and does not tell its reader (3.14): the limits have to.
    stream = transport.stream(ask(), TimeLimits(idle_s=0.3))
    assert next(stream) == Delta("hi")
    was_read.set()
    with pytest.raises(StreamInterruptedError):
        next(stream)
    assert isinstance(transport.failed_whole(ask(), TimeLimits(total_s=0.6)), ProviderError)


def test_a_compressed_reply_that_nobody_asked_for_does_no_harm(open_transport, wire, ask):
    headers = ["Content-Encoding: gzip"]
    reply = wire.reply(b"\x1f\x8bthis is no gzip", headers=headers)
    server = wire.serve(lambda _, connection: connection.sendall(reply))
    error = open_transport(server.url).failed_whole(ask())
    assert isinstance(error, ProviderError)
