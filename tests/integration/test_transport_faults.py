"""What one attempt makes of each way in which a provider fails: same errors, all three transports.

(What the retries, the breaker and the deadline make of these errors is the call path's affair.)
"""

import asyncio
import gc
import logging
import socket
import threading
import time
import traceback
from pathlib import Path

import pytest

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.completion import CompletionRequest, Delta, TimeLimits
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

MB = 1 << 20


def failed_whole(transport, request, limits=None):
    """The error of a whole reply."""
    with pytest.raises(ProviderError) as caught:
        transport.complete(request, limits)
    return caught.value


def failed_stream(transport, request, limits=None):
    """The error of a stream, and the pieces that came before it."""
    pieces = []
    with pytest.raises(ProviderError) as caught:
        pieces.extend(_kept_in(pieces, transport.stream(request, limits)))
    return caught.value, pieces


def _kept_in(pieces, stream):
    for piece in stream:
        pieces.append(piece)
    return ()


def failed_either_way(transport, request, limits=None):
    """The errors of both."""
    return [
        failed_whole(transport, request, limits),
        failed_stream(transport, request, limits)[0],
    ]


@pytest.fixture(params=["whole", "streamed"])
def attempt(request, transport):
    """An attempt of either kind, to the model server; its error."""

    def make(asked, limits=None):
        if request.param == "whole":
            return failed_whole(transport, asked, limits)
        return failed_stream(transport, asked, limits)[0]

    return make


# --- too slow ---


def test_no_headers_ends_at_the_limit_of_the_first_byte(attempt, mock_server, ask):
    error = attempt(ask(fault="no_headers"), TimeLimits(first_token_s=0.2))
    assert isinstance(error, ProviderTimeoutError)
    assert "0.2 s" in error.message
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


def test_headers_without_a_first_byte_end_a_stream_at_the_same_limit(transport, ask):
    limits = TimeLimits(first_token_s=0.2)
    error, pieces = failed_stream(transport, ask(fault="stall"), limits)
    assert isinstance(error, ProviderTimeoutError)
    assert pieces == []


def test_a_stall_in_mid_stream_ends_at_the_idle_limit_and_keeps_what_came(
    transport, mock_server, ask
):
    limits = TimeLimits(idle_s=0.2)
    request = ask(fault="stall", after_pieces=4)
    error, pieces = failed_stream(transport, request, limits)
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "idle"
    assert len(pieces) == 4
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


def test_a_whole_reply_that_stalls_ends_at_the_total_limit(transport, ask):
    request = ask(fault="stall", after_pieces=2)
    error = failed_whole(transport, request, TimeLimits(total_s=0.3))
    assert isinstance(error, ProviderTimeoutError)
    assert "0.3 s" in error.message


def test_a_byte_now_and_then_is_cut_at_the_total_limit(transport, ask):
    limits = TimeLimits(idle_s=5, total_s=0.5)
    request = ask(fault="drip", after_pieces=2, interval_s=0.02)
    error, pieces = failed_stream(transport, request, limits)
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "total"
    assert len(pieces) >= 2
    error = failed_whole(transport, request, limits)
    assert isinstance(error, ProviderTimeoutError)


def test_headers_that_come_byte_by_byte_are_cut_at_the_limit_too(open_transport, wire, ask):
    gone = threading.Event()

    def script(_, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not gone.wait(0.02):
            connection.sendall(b"X-Slow: 1\r\n")

    transport = open_transport(wire.serve(script).url)
    limits = TimeLimits(first_token_s=0.3)
    error = failed_whole(transport, ask(), limits)
    gone.set()
    assert isinstance(error, ProviderTimeoutError)


def test_comments_keep_a_stream_alive_that_thinks_for_long(open_transport, wire, ask):
    def script(_, connection):
        connection.sendall(wire.stream_start)
        for _ in range(10):
            connection.sendall(wire.chunk(b": still thinking\n\n"))
            time.sleep(0.05)
        finish = wire.event("hi", finish_reason="stop")
        connection.sendall(wire.chunk(finish + wire.done) + wire.stream_end)

    transport = open_transport(wire.serve(script).url)
    stream = transport.stream(ask(), TimeLimits(first_token_s=0.4, idle_s=0.4))
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
    error, pieces = failed_stream(transport, ask(fault=fault, after_pieces=3))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == reason
    assert len(pieces) == 3


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_half_a_whole_reply_is_no_reply(transport, ask, fault):
    request = ask(fault=fault, after_pieces=2)
    error = failed_whole(transport, request)
    assert isinstance(error, ProviderUnreachableError)


def test_a_body_that_is_shorter_than_it_says_is_no_reply(open_transport, wire, ask):
    def script(_, connection):
        connection.sendall(wire.reply(wire.completion())[:-1])
        return False

    transport = open_transport(wire.serve(script).url)
    error = failed_whole(transport, ask())
    assert isinstance(error, ProviderUnreachableError)


@pytest.mark.parametrize("fault", ["truncate", "no_finish_reason"])
def test_a_stream_without_its_finish_is_never_taken_for_whole(transport, ask, fault):
    error, pieces = failed_stream(transport, ask(fault=fault, after_pieces=3))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "truncated"
    assert len(pieces) >= 3


def test_half_a_tool_call_ends_in_an_interruption(transport, ask):
    calls = [{"name": "transfer", "arguments": '{"amount": 100000}'}]
    request = ask(tool_calls=calls, fault="truncate", after_pieces=3)
    error, pieces = failed_stream(transport, request)
    assert isinstance(error, StreamInterruptedError)
    assert not any(piece.finish_reason for piece in pieces)


def test_nobody_listening_means_unreachable(open_transport, ask):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = open_transport(f"http://127.0.0.1:{port}/v1/chat/completions")
    for error in failed_either_way(transport, ask()):
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
        error = failed_whole(transport, ask())
        for filler in fillers:
            filler.close()
    assert isinstance(error, ProviderUnreachableError)
    assert "no connection in time" in error.message


def test_something_that_speaks_no_http_is_a_bad_reply(open_transport, wire, ask):
    def script(_, connection):
        connection.sendall(b"220 smtp.example.com ESMTP\r\n\r\n")
        return False

    transport = open_transport(wire.serve(script).url)
    for error in failed_either_way(transport, ask()):
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
    released = threading.Event()

    def hang():
        released.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    resolver.append(hang)
    transport = open_transport(NOWHERE, connect_s=0.3)
    turns = []

    async def turn():
        while True:
            turns.append(None)
            await asyncio.sleep(0.01)

    async def call():
        turning = asyncio.create_task(turn())
        try:
            with pytest.raises(ProviderUnreachableError):
                await transport.native.complete(ask(), TimeLimits())
        finally:
            turning.cancel()
            released.set()
            await transport.native.aclose()

    asyncio.run(call())
    assert len(turns) > 3


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


def test_a_refusal_of_endless_length_is_not_read_to_its_end(open_transport, wire, ask):
    sent = []

    def script(_, connection):
        connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            sent.append(connection.send(b"broken " * 10_000))

    transport = open_transport(wire.serve(script).url)
    error = failed_whole(transport, ask())
    assert isinstance(error, ProviderStatusError)
    assert len(error.message) < 300
    assert sum(sent) < 32 * MB


# --- nonsense ---


@pytest.mark.parametrize("fault", ["malformed_json", "html", "wrong_type"])
def test_nonsense_under_status_200_is_a_bad_reply(attempt, ask, fault):
    error = attempt(ask(fault=fault))
    assert isinstance(error, ProviderBadReplyError)
    assert not error.retryable
    assert len(error.message) < 300


@pytest.mark.parametrize("fault", ["malformed_json", "wrong_type", "error_event"])
def test_nonsense_in_mid_stream_interrupts_after_what_came(transport, ask, fault):
    error, pieces = failed_stream(transport, ask(fault=fault, after_pieces=3))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "error"
    assert len(pieces) == 3


def test_an_error_event_before_the_first_piece_is_that_error(transport, ask):
    request = ask(fault="error_event", error_code="rate_limit_exceeded")
    error, pieces = failed_stream(transport, request)
    assert isinstance(error, ProviderRateLimitedError)
    assert pieces == []


def test_json_as_deep_as_a_well_is_a_bad_reply(open_transport, wire, ask):
    reply = wire.reply(b'{"a":' * 100_000)
    server = wire.serve(lambda _, connection: connection.sendall(reply))
    error = failed_whole(open_transport(server.url), ask())
    assert isinstance(error, ProviderBadReplyError)


def test_a_compressed_reply_that_nobody_asked_for_does_no_harm(open_transport, wire, ask):
    headers = ["Content-Encoding: gzip"]
    reply = wire.reply(b"\x1f\x8bthis is no gzip", headers=headers)
    server = wire.serve(lambda _, connection: connection.sendall(reply))
    error = failed_whole(open_transport(server.url), ask())
    assert isinstance(error, ProviderError)


# --- too much ---


def peak_memory_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the system tells no peak")


@pytest.fixture
def flat_memory(transport, mock_server, ask):
    """Fails when the test's peak is 32 MB or more above where it began."""
    transport.complete(ask())
    list(transport.stream(ask()))
    mock_server.forget_requests()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory_mb()
    yield
    assert peak_memory_mb() - before < 32


@pytest.mark.usefixtures("flat_memory")
def test_a_body_of_100_mb_is_cut_at_16(attempt, mock_server, ask):
    error = attempt(ask(fault="huge_body", size_bytes=100 * MB), TimeLimits(total_s=20))
    assert isinstance(error, ProviderError)
    assert "16 MB" in error.message
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


@pytest.mark.usefixtures("flat_memory")
def test_a_line_of_50_mb_is_cut_at_1(transport, mock_server, ask):
    request = ask(fault="huge_line", after_pieces=2, size_bytes=50 * MB)
    error, pieces = failed_stream(transport, request)
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "too_large"
    assert len(pieces) == 2
    mock_server.wait_until(lambda: mock_server.requests[0].disconnected)


# --- secrets ---

PROMPT = "canary prompt: the vault's combination is 12-34-56"
REPLY = "canary reply: and the key is under the mat"


@pytest.mark.parametrize(
    "behaviour",
    [
        *({"fault": "status", "status": status} for status in (400, 401, 403, 404, 429, 500)),
        *({"fault": fault} for fault in ("no_headers", "reset", "close", "html", "wrong_type")),
        *(
            {"fault": fault, "after_pieces": 2}
            for fault in ("stall", "drip", "reset", "truncate", "malformed_json", "error_event")
        ),
    ],
    ids=str,
)
def test_no_error_and_no_log_line_tells_key_prompt_or_reply(attempt, ask, key, caplog, behaviour):
    caplog.set_level(logging.DEBUG)
    request = ask(PROMPT, **({"text": REPLY} if behaviour["fault"] == "stall" else {}), **behaviour)
    error = attempt(request, TimeLimits(first_token_s=0.1, idle_s=0.1, total_s=0.2))
    told = "".join(traceback.format_exception(error)) + repr(vars(error)) + caplog.text
    assert key not in told
    assert "canary" not in told


def test_a_provider_that_repeats_key_and_prompt_is_not_quoted(open_transport, wire, ask, key):
    said = f'{{"error": {{"message": "{PROMPT} from Bearer {key} is not understood"}}}}'.encode()
    for status in ("400 Bad Request", "403 Forbidden", "500 Oops", "200 OK"):
        reply = wire.reply(said, status=status)
        server = wire.serve(lambda _, connection, reply=reply: connection.sendall(reply))
        transport = open_transport(server.url)
        request = CompletionRequest(messages=[{"role": "user", "content": PROMPT}], model="m")
        for error in failed_either_way(transport, request):
            assert key not in error.message
            assert "vault" not in error.message
