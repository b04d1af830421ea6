"""The requests library, taught to keep an attempt's time limits.

By itself it can bound the silence between two packets only, so a peer that sends a byte now and
then is never cut off. Here each wait for the socket asks the attempt how long it may take, and
`close` ends the waits that are under way.
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

from xwe.core.nlp.transports.patience import Patience

_BUFFER_BYTES = 1 << 16

_thread = threading.local()


class _OpenSockets:
    """The sockets of one adapter, idle or in use, for as long as somebody has them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._are_cut = False

    def add(self, sock: socket.socket) -> None:
        with self._guard:
            self._sockets.add(sock)
            if self._are_cut:  # closed while this one was being connected
                _cut(sock)

    def cut(self) -> None:
        with self._guard:
            self._are_cut = True
            for sock in list(self._sockets):
                _cut(sock)


def _cut(sock: socket.socket) -> None:
    """Make whoever waits for the socket come back at once."""
    with contextlib.suppress(OSError):  # closed meanwhile, or by the peer
        # The plain socket's method: TLS's own would let a reader go on without decrypting.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class PatientAdapter(HTTPAdapter):
    """An adapter for one host, and so with one pool. Safe between threads."""

    _pool: Any = None

    def __init__(self, **options: Any) -> None:
        self._sockets = _OpenSockets()
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool; finding it anew for each request, as the library does, is a tenth of a call."""
        if self._pool is None:
            # Two threads may get here at once: the library gives both the same one.
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the idle connections now, and end the calls that run, with errors.

        The library leaves the ones to the garbage collector and the others to themselves.
        """
        self._sockets.cut()
        super().close()
        if self._pool is not None:
            self._pool.close()

    def send_within(
        self, patience: Patience, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """As `send`, but every read of the reply ends when the patience does (TimeoutError)."""
        _thread.patience, _thread.sockets = patience, self._sockets
        return self.send(request, **options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As the library's, with connections of our classes."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """As the library's, with connections of our classes."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _PatientReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, patience: Patience) -> None:
        self._raw = raw
        self._socket = sock
        self._patience = patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        now = time.monotonic()
        wait_s = self._patience.due(now) - now
        if wait_s <= 0:
            raise TimeoutError
        self._socket.settimeout(wait_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PatientResponse(http.client.HTTPResponse):
    # Made in the thread that sent the request, when it begins to read the reply.
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        reader = _PatientReader(self.fp.detach(), sock, _thread.patience)
        self.fp = io.BufferedReader(reader, _BUFFER_BYTES)


class _PatientConnection(HTTPConnection):
    response_class = _PatientResponse

    def connect(self) -> None:
        super().connect()
        _thread.sockets.add(self.sock)


class _PatientTLSConnection(HTTPSConnection):
    response_class = _PatientResponse

    def connect(self) -> None:
        super().connect()
        # Within a proxy's own TLS it is no socket, but has one.
        _thread.sockets.add(getattr(self.sock, "socket", self.sock))


class _PatientPool(HTTPConnectionPool):
    ConnectionCls = _PatientConnection


class _PatientTLSPool(HTTPSConnectionPool):
    ConnectionCls = _PatientTLSConnection


_POOLS = {"http": _PatientPool, "https": _PatientTLSPool}
