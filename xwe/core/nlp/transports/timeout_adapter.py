"""The requests library, made to keep an attempt's time limits.

By itself it only bounds the silence between two packets, so a peer that sends a byte now and then
is never cut off. Here every wait for the socket asks the attempt's timeout how long it may take,
and `close` ends the waits under way.
"""

import contextlib
import http.client
import io
import socket
import threading
import time
import weakref
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from xwe.core.nlp.transports.attempt_timeout import AttemptTimeout

_BUFFER_BYTES = 1 << 16

_thread = threading.local()


class _OpenSockets:
    """All sockets of one adapter that are still in use or idle in its pool."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._are_cut = False

    def add(self, sock: socket.socket) -> None:
        with self._guard:
            self._sockets.add(sock)
            if self._are_cut:  # the adapter was closed while this one connected
                _cut(sock)

    def cut(self) -> None:
        with self._guard:
            self._are_cut = True
            for sock in list(self._sockets):
                _cut(sock)


def _cut(sock: socket.socket) -> None:
    """Make every wait for the socket return at once."""
    with contextlib.suppress(OSError):  # already closed
        # The plain socket's method: after TLS's own, a reader would go on without decrypting.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class TimeoutAdapter(HTTPAdapter):
    """An adapter for one host, so with one pool. Thread-safe."""

    _pool: Any = None

    def __init__(self, **options: Any) -> None:
        self._sockets = _OpenSockets()
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool, kept: looking it up for every request would cost a tenth of a call."""
        if self._pool is None:
            # Two threads may get here at once; the library gives both the same pool.
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the idle connections and make running calls fail, now.

        The library leaves idle ones to the garbage collector and lets running calls go on.
        """
        self._sockets.cut()
        super().close()
        if self._pool is not None:
            self._pool.close()

    def send_within(
        self, limit: AttemptTimeout, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """As `send`, but a read of the reply raises TimeoutError when `limit` is reached."""
        _thread.limit, _thread.sockets = limit, self._sockets
        return self.send(request, **options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As the library's, with our connection classes."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """As the library's, with our connection classes."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, timeout: AttemptTimeout) -> None:
        self._raw = raw
        self._socket = sock
        self._timeout = timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        now = time.monotonic()
        wait_s = self._timeout.due(now) - now
        if wait_s <= 0:
            raise TimeoutError
        self._socket.settimeout(wait_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    # Made in the thread that sent the request, as it begins to read the reply.
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        reader = _TimedReader(self.fp.detach(), sock, _thread.limit)
        self.fp = io.BufferedReader(reader, _BUFFER_BYTES)


class _TimedConnection(HTTPConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        super().connect()
        _thread.sockets.add(self.sock)


class _TimedTLSConnection(HTTPSConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        super().connect()
        # Inside a proxy's own TLS it is not a socket but wraps one.
        _thread.sockets.add(getattr(self.sock, "socket", self.sock))


class _TimedPool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _TimedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTLSConnection


_POOLS = {"http": _TimedPool, "https": _TimedTLSPool}
