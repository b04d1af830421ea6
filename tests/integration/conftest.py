"""The three transports behind one face, and a server for what no HTTP library would send."""

import contextlib
import socket
import threading

import orjson
import pytest

from xwe.core.concurrency.iteration import iterate_in_sync
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp import transports
from xwe.core.nlp.completion import CompletionRequest, TimeLimits
from xwe.errors import ProviderError

KEY = "sk-canary-key-0123456789"
TRANSPORTS = ["requests", "aiohttp", "openai"]
SOON_S = 60.0


class AnyTransport:
    """A transport called from a plain test, whatever its side: on the resident loop, or here."""

    def __init__(self, name, url, **options):
        self.name = name
        self.is_async = name != "requests"
        self.native = transports.open_transport(name, url, KEY, **options)

    def complete(self, request, limits=None):
        limits = limits or TimeLimits()
        if self.is_async:
            return get_loop_thread().run(self.native.complete(request, limits))
        return self.native.complete(request, limits)

    def stream(self, request, limits=None):
        """A generator; closing it closes the transport's."""
        source = self.native.stream(request, limits or TimeLimits())
        return iterate_in_sync(source) if self.is_async else source

    def failed_whole(self, request, limits=None):
        """The error of a whole reply."""
        with pytest.raises(ProviderError) as caught:
            self.complete(request, limits)
        return caught.value

    def failed_stream(self, request, limits=None):
        """The error of a stream, and the pieces that came before it."""
        pieces = []
        with pytest.raises(ProviderError) as caught:
            _move(self.stream(request, limits), pieces)
        return caught.value, pieces

    def failed_either_way(self, request, limits=None):
        """The errors of both."""
        return [self.failed_whole(request, limits), self.failed_stream(request, limits)[0]]

    def close(self):
        if self.is_async:
            get_loop_thread().run(self.native.aclose())
        else:
            self.native.close()


def _move(source, target):
    for item in source:
        target.append(item)  # one by one: what came before the error counts


class WireServer:
    """Answers each request with what `script(request, connection)` sends, byte by byte if it likes.

    `script` gets the whole request as bytes and the socket, in a thread for each connection. It
    is called again for the next request on that connection until it returns False, which closes
    the connection.
    """

    def __init__(self, script, tls=None):
        self._script = script
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = []
        self._connections = []
        self.requests = []
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/v1/chat/completions"
        self._start(self._accept)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, name="wire-server")
        self._threads.append(thread)
        thread.start()

    @property
    def connections(self):
        """How many there have been."""
        return len(self._connections)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, plain):
        # A client that leaves, and the test's own end, are no errors of the server.
        with contextlib.suppress(OSError), plain, self._secured(plain) as connection:
            self._connections.append(connection)
            while request := _read_request(connection):
                self.requests.append(request)
                if self._script(request, connection) is False:
                    break

    def _secured(self, plain):
        return self._tls.wrap_socket(plain, server_side=True) if self._tls else plain

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SOON_S)
            assert not thread.is_alive()


def _read_request(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        received += (chunk := connection.recv(65536))
        if not chunk:
            return b""
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    while len(body) < lengths[0]:
        body += (chunk := connection.recv(65536))
        if not chunk:  # the client has given up half-way
            return b""
    return head + b"\r\n\r\n" + body


class Wire:
    """Bytes as a server sends them, and servers that do."""

    stream_start = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    stream_end = b"0\r\n\r\n"
    done = b"data: [DONE]\n\n"

    def __init__(self, stack):
        self._stack = stack

    def serve(self, script, tls=None):
        """A server that lives as long as the test."""
        server = WireServer(script, tls)
        self._stack.callback(server.close)
        return server

    @staticmethod
    def reply(body, content_type="application/json", status="200 OK", headers=()):
        """A reply in one piece."""
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    @staticmethod
    def completion(text="hi"):
        """A body that says this."""
        message = {"role": "assistant", "content": text}
        return orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})

    @staticmethod
    def event(text="", finish_reason=None, **fields):
        """A stream's event that says this."""
        choice = {"delta": {"content": text}, "finish_reason": finish_reason}
        return b"data: " + orjson.dumps({"choices": [choice], **fields}) + b"\n\n"

    @staticmethod
    def chunk(data):
        """A piece of a body that is sent in chunks."""
        return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture(params=TRANSPORTS)
def transport_name(request):
    return request.param


@pytest.fixture
def open_transport(transport_name):
    """Makes transports of the kind under test, and closes them in the end."""
    with contextlib.ExitStack() as stack:

        def opener(url, **options):
            transport = AnyTransport(transport_name, url, **options)
            stack.callback(transport.close)
            return transport

        yield opener


@pytest.fixture
def transport(open_transport, mock_server):
    """A transport to the model server."""
    return open_transport(mock_server.base_url + "/chat/completions")


@pytest.fixture(params=["whole", "streamed"])
def attempt(request, transport):
    """An attempt of either kind, to the model server; its error."""

    def make(asked, limits=None):
        if request.param == "whole":
            return transport.failed_whole(asked, limits)
        return transport.failed_stream(asked, limits)[0]

    return make


@pytest.fixture
def wire():
    with contextlib.ExitStack() as stack:
        yield Wire(stack)


@pytest.fixture
def key():
    """What the transports under test authenticate with; nobody may ever see it."""
    return KEY


@pytest.fixture
def ask():
    """Makes a request; keyword arguments are the model server's behaviour."""

    def make(content="hello", **behaviour):
        extra = {"mock": behaviour} if behaviour else {}
        return CompletionRequest(
            messages=[{"role": "user", "content": content}], model="m", extra=extra
        )

    return make
