"""WebSockets in a WSGI application: the request's own thread talks on the client's connection.

The protocol is `websockets`' implementation, which leaves reading and writing to its user. The
server writes the 101 like any other response's head; the "body" is the conversation, on the socket
that gunicorn and Werkzeug show in the environ. So the server's count of connections, its send
timeout and its end hold for a WebSocket too.
"""

import errno
import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from wsgiref.types import WSGIEnvironment

from flask import Response
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from xwe.core.nlp.observation import request_id
from xwe.errors import InvalidRequestError
from xwe.web.streaming.client_disconnect import connection_of

log = logging.getLogger(__name__)

READ_BYTES = 65_536

# After our side's goodbye the client's is waited for so long.
GOODBYE_WITHIN_S = 2.0

_HANDSHAKE_HEADERS = ("Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")


class WebSocketEndedError(ConnectionResetError):
    """One of the two sides has ended the conversation, or the connection is gone."""

    def __init__(self) -> None:
        # With its number, WSGI servers close the connection and pass over it quietly.
        super().__init__(errno.ECONNRESET, "the WebSocket has ended")


class WebSocket:
    """One client's connection; for the request's thread, but for `wake`.

    Args:
        environ: of a request that asks for the upgrade.
        heartbeat_s: a ping goes out after so long without hearing of the client; one that leaves
            it without an answer for as long again has gone.
        max_bytes: the longest message that is taken.

    Raises:
        InvalidRequestError: the request is not a WebSocket's.
    """

    def __init__(self, environ: WSGIEnvironment, *, heartbeat_s: float, max_bytes: int) -> None:
        connection = connection_of(environ)
        if connection is None:
            raise InvalidRequestError("This server does not hand over its connections.")
        self._connection = connection
        self.headers = _shake_hands(environ)
        self._protocol = ServerProtocol(state=State.OPEN, max_size=max_bytes)
        self._heartbeat_s = heartbeat_s
        self._heard_at = self._pinged_at = time.monotonic()
        self._incoming = bytearray()
        self._messages: list[str] = []
        self._waker, self._woken = socket.socketpair()
        self._waker.settimeout(0.0)
        self._woken.settimeout(0.0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def wake(self) -> None:
        """Make `receive` return. From any thread; does not block."""
        try:
            self._waker.send(b"\0")
        except OSError:  # full of wake-ups already, or closed
            return

    def receive(self, timeout_s: float | None = None) -> list[str]:
        """The messages that have come; none after `timeout_s` seconds or a `wake()`.

        Raises:
            WebSocketEndedError: no more will come.
        """
        for key, _ in self._selector.select(self._until_next_beat(timeout_s)):
            if key.fileobj is self._woken:
                self._woken.recv(READ_BYTES)
            else:
                self._read()
        self._beat()
        self._flush()
        messages, self._messages = self._messages, []
        if not messages and self._protocol.state is not State.OPEN:
            raise WebSocketEndedError
        return messages

    def send(self, messages: Iterable[bytes]) -> None:
        """Send text messages, in as few writes as possible.

        Raises:
            ConnectionError: the client has gone, or takes nothing.
        """
        for message in messages:
            if self._protocol.state is State.OPEN:
                self._protocol.send_text(message)
        self._flush()

    def say_goodbye(self, code: CloseCode, reason: str = "") -> None:
        """End the conversation, in order where the client answers in time."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
        ends_at = time.monotonic() + GOODBYE_WITHIN_S
        self._selector.unregister(self._woken)
        while self._protocol.close_rcvd is None and (left_s := ends_at - time.monotonic()) > 0:
            if self._selector.select(left_s) and not self._read():
                return
            self._flush()

    def release(self) -> None:
        """Let go of everything but the connection, which is the server's."""
        self._selector.close()
        self._waker.close()
        self._woken.close()

    def _until_next_beat(self, timeout_s: float | None) -> float:
        last = max(self._heard_at, self._pinged_at)
        left_s = max(0.0, last + self._heartbeat_s - time.monotonic())
        return left_s if timeout_s is None else min(timeout_s, left_s)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - max(self._heard_at, self._pinged_at) < self._heartbeat_s:
            return
        if self._pinged_at <= self._heard_at:
            self._pinged_at = now
            if self._protocol.state is State.OPEN:
                self._protocol.send_ping(b"")
        # It may have answered while this thread had no time to look.
        elif not self._selector.select(0):
            self._protocol.fail(CloseCode.ABNORMAL_CLOSURE)
            raise WebSocketEndedError

    def _read(self) -> bool:
        """Take in what the client sent; whether there was anything but its end."""
        data = self._connection.recv(READ_BYTES)
        self._heard_at = time.monotonic()
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take_in(event)
        return bool(data)

    def _take_in(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "only text is understood")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._incoming += frame.data
            if frame.fin:
                message, self._incoming = self._incoming, bytearray()
                try:
                    self._messages.append(message.decode())
                except UnicodeDecodeError:
                    self._protocol.fail(CloseCode.INVALID_DATA, "not UTF-8")

    def _flush(self) -> None:
        writes = self._protocol.data_to_send()
        data = b"".join(writes)
        if data:
            self._connection.sendall(data)
        if b"" in writes:  # the protocol's sign for its side's end
            self._connection.shutdown(socket.SHUT_WR)


def _shake_hands(environ: WSGIEnvironment) -> dict[str, str]:
    """The headers of the 101, which the WSGI server writes."""
    headers = Headers()
    for name in _HANDSHAKE_HEADERS:
        value = environ.get("HTTP_" + name.upper().replace("-", "_"))
        if value is not None:
            headers[name] = value
    handshake = ServerProtocol()
    reply = handshake.accept(Request(environ["PATH_INFO"], headers))
    if handshake.handshake_exc is not None:
        raise InvalidRequestError(f"This is no WebSocket: {handshake.handshake_exc}.")
    return dict(reply.headers.raw_items())


class WebSocketResponse(Response):
    """The 101, and then the conversation.

    Args:
        websocket: whose conversation.
        converse: runs when the 101 has been written; its end is the connection's.
        on_close: called once when everything is over, also when it never began.
    """

    def __init__(
        self,
        websocket: WebSocket,
        converse: Callable[[], None],
        on_close: Callable[[], None],
    ) -> None:
        super().__init__(status=101, headers=websocket.headers)
        del self.headers["Content-Type"]
        self._conversation = _Conversation(websocket, converse, on_close)

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:  # noqa: ARG002 - Werkzeug's signature
        """The conversation; Werkzeug would leave out the body of a 101."""
        return self._conversation


class _Conversation:
    def __init__(
        self, websocket: WebSocket, converse: Callable[[], None], on_close: Callable[[], None]
    ) -> None:
        self._websocket = websocket
        self._converse = converse
        self._on_close: Callable[[], None] | None = on_close
        self._has_head = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._has_head:
            self._has_head = True
            return b""  # makes the server write the head
        try:
            self._converse()
        except OSError:  # the client has gone, or it was told goodbye
            log.debug("Request %s: the WebSocket has ended", request_id.get())
        except Exception:
            log.exception("Request %s: the WebSocket broke", request_id.get())
        # Not an ordinary end: after it the server would wait for another HTTP request.
        raise WebSocketEndedError

    def close(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            self._websocket.release()
            on_close()


def event_frame(answer_id: str, number: int, event: bytes) -> bytes:
    """An answer's event as a message; `event` is JSON already."""
    return b'{"type":"event","stream":"%b","number":%d,"event":%b}' % (
        answer_id.encode(),
        number,
        event,
    )
