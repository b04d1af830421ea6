"""The transports over TLS, where all of a real provider's traffic is."""

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xwe.core.nlp.completion import Delta, TimeLimits
from xwe.errors import (
    ClosedError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    StreamInterruptedError,
)

# A throw-away key and a certificate for this machine, good for nothing else.
CERTIFICATE = Path(__file__).with_name("localhost.pem")


@pytest.fixture
def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.fixture
def trusting(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@pytest.mark.usefixtures("trusting")
def test_a_provider_is_reached_over_tls_again_and_again(open_transport, wire, tls, ask):
    def script(request, connection):
        if b'"stream":true' in request:
            last = wire.event("hi", finish_reason="stop") + wire.done
            connection.sendall(wire.stream_start + wire.chunk(last) + wire.stream_end)
        else:
            connection.sendall(wire.reply(wire.completion()))

    server = wire.serve(script, tls)
    transport = open_transport(server.url)
    for _ in range(2):
        assert transport.complete(ask()).text == "hi"
        assert list(transport.stream(ask())) == [Delta("hi", finish_reason="stop")]
    assert server.connections == 1


@pytest.mark.usefixtures("trusting")
def test_the_limits_hold_over_tls_too(open_transport, wire, tls, ask):
    whole = iter([wire.reply(wire.completion())])

    def script(_, connection):
        if reply := next(whole, None):
            connection.sendall(reply)
            return True
        connection.sendall(wire.stream_start + wire.chunk(wire.event("hi")))
        return connection.recv(1) != b""

    transport = open_transport(wire.serve(script, tls).url)
    # The limited call has its connection: a handshake may take longer than that by itself.
    assert transport.complete(ask()).text == "hi"
    assert isinstance(transport.failed_whole(ask(), TimeLimits(total_s=0.2)), ProviderTimeoutError)
    error, pieces = transport.failed_stream(ask(), TimeLimits(idle_s=0.2))
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "idle"
    assert pieces == [Delta("hi")]


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("transport_name", ["requests"], indirect=True)
def test_closing_the_transport_frees_a_thread_that_waits_over_tls(open_transport, wire, tls, ask):
    asked = threading.Event()

    def script(_, connection):
        connection.sendall(wire.stream_start)
        asked.set()
        return connection.recv(1) != b""

    transport = open_transport(wire.serve(script, tls).url)
    limits = TimeLimits(first_token_s=3600, total_s=3600)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, transport.stream(ask(), limits))
        assert asked.wait(60)
        transport.close()
        assert type(waiting.exception(60)) is ClosedError


@pytest.mark.usefixtures("trusting")
def test_a_connection_that_ends_without_a_word_in_mid_stream_interrupts(
    open_transport, wire, tls, ask
):
    def script(_, connection):
        connection.sendall(wire.stream_start + wire.chunk(wire.event("hi")))
        return False

    transport = open_transport(wire.serve(script, tls).url)
    error, pieces = transport.failed_stream(ask())
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "truncated"
    assert pieces == [Delta("hi")]


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(open_transport, wire, tls, ask):
    server = wire.serve(lambda _, connection: None, tls)
    for error in open_transport(server.url).failed_either_way(ask()):
        assert isinstance(error, ProviderUnreachableError)
        assert "certificate is not trusted" in error.message
    assert server.requests == []


def test_a_server_without_tls_is_told_by_its_handshake(open_transport, mock_server, ask):
    url = mock_server.base_url.replace("http://", "https://") + "/chat/completions"
    for error in open_transport(url).failed_either_way(ask()):
        assert isinstance(error, ProviderUnreachableError)
        assert "TLS handshake failed" in error.message


def test_a_handshake_without_an_answer_is_given_up_like_a_connection(open_transport, ask):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1/chat/completions"
        error = open_transport(url, connect_s=0.2).failed_whole(ask())
    assert isinstance(error, ProviderUnreachableError)
    assert "no connection in time" in error.message
