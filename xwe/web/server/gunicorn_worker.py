"""gunicorn's threaded worker, hardened so that one client cannot hurt the others.

It differs from `gunicorn.workers.gthread.ThreadWorker` (as of gunicorn 27.0) as follows:

- A client that lingers after `Connection: close` is watched by the poller. The main thread does
  not wait for it, and keeps accepting connections.
- A client that reads nothing of its reply for `XWE_SEND_TIMEOUT` is disconnected, which frees its
  thread. The timeout does not apply to reading a request body.
- Running out of descriptors delays new clients. It does not end the worker and its other clients.
- The drain calls the application's `begin_drain()` and refuses new connections, so that a load
  balancer goes elsewhere at once. Otherwise they would wait until the worker exits.
- Ctrl-C stops at once, even while requests run.
- A view can hand off its client's connection (`streaming/socket_handoff.py`), which frees its
  thread. The worker still counts the connection, and serves or closes it once it is returned.
- A reply that leaves its request's body unread says whether the connection closes
  (`gunicorn_request.py`).

Each wake-up accepts all waiting connections, and a new connection costs one `poll` instead of a
selector of its own.
"""

import errno
import os
import select
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

from xwe.settings import load_settings
from xwe.web.server.gunicorn_request import ClientRequest
from xwe.web.streaming.socket_handoff import HandoffSocket

# RFC 9112, 9.6: how long, and for how many bytes, we keep reading from a connection that we have
# closed, so that a reset does not destroy the end of the reply. The values are gunicorn's own.
LINGER_S = 2.0
LINGER_BYTES = 65_536

# Accepting more at once would make finished requests wait for the main thread.
ACCEPTED_AT_ONCE = 64

# A quick stop gives requests this long to end. Joining their threads could take forever.
QUICK_STOP_S = 1.0

# The application closes its own connections gracefully, but the master waits only this long.
CLOSE_WITHIN_S = 1.0

_NOBODY_WAITS = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED})
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROOM_PAUSE_S = 0.05


# The result of a request whose connection was handed off.
_HANDED_OFF = object()


class ClientSocket(HandoffSocket):
    """A client's socket whose blocking sends time out when the client stops reading."""

    @classmethod
    def take_over(cls, accepted: socket.socket, send_timeout_s: float) -> "ClientSocket":
        """The connection of `accepted`, which is detached from it."""
        client = cls(accepted.family, accepted.type, accepted.proto, accepted.detach())
        client.send_timeout_s = send_timeout_s
        seconds = int(send_timeout_s)
        microseconds = int((send_timeout_s - seconds) * 1e6)
        # In the kernel, because Python's own timeouts would apply to reads too.
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, microseconds)
        )
        return client

    def sendall(self, *args: Any) -> None:
        """Like `socket.sendall`; a client that stops reading counts as disconnected."""
        try:
            super().sendall(*args)
        except BlockingIOError:
            # gunicorn ignores a reset, but would log any other error of a send.
            raise ConnectionResetError(errno.ECONNRESET, "the client stopped reading") from None


class Connection(TConn):  # type: ignore[misc] # gunicorn carries no types
    """A connection that leaves its graceful close to its worker."""

    data_ready: bool
    parser: Any

    def __init__(self, *args: Any, linger: Callable[["Connection"], None]) -> None:
        super().__init__(*args)
        self.linger = linger
        self.drained_bytes = 0
        self.request: Any = None

    def init(self) -> None:
        """Prepare for the first request; gunicorn calls this before each request."""
        super().init()
        if isinstance(self.parser, RequestParser):
            self.parser.mesg_class = ClientRequest

    def wait_for_data(self, timeout: float) -> bool:
        """Whether the client sends something within `timeout` seconds."""
        if not self.data_ready:
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            self.data_ready = bool(poll.poll(timeout * 1000))
        return bool(self.data_ready)

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 -- gunicorn's signature
        """Close now or, if graceful, once the client has closed its side."""
        if graceful:
            self.linger(self)
        else:
            super().close()


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn carries no types
    """The worker class of `xwe run` and config/gunicorn.conf.py."""

    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lingering: deque[Connection] = deque()
        self.send_timeout_s = load_settings().server.send_timeout_s
        self.is_draining = False

    def accept(self, listener: Any) -> None:
        """Accept the waiting connections, up to a limit."""
        # With other workers, accepting many at once would leave those idle.
        limit = ACCEPTED_AT_ONCE if self.cfg.workers == 1 else 1
        for _ in range(min(limit, self.worker_connections - self.nr_conns)):
            try:
                accepted, address = listener.accept()
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self.log.warning("No new connection can be accepted: %s", error)
                    # The listener stays readable, so without a pause this would spin.
                    time.sleep(_NO_ROOM_PAUSE_S)
                elif error.errno not in _NOBODY_WAITS:
                    raise
                return
            self.nr_conns += 1
            client = ClientSocket.take_over(accepted, self.send_timeout_s)
            server = listener.getsockname()
            self.enqueue_req(Connection(self.cfg, client, address, server, linger=self.linger))

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Serve one request, and remember it: it decides whether its connection is kept."""
        conn.request = req
        return super().handle_request(req, conn)

    def handle(self, conn: Connection) -> Any:
        """Serve the connection's requests, and hand it off if the view asked for it."""
        outcome = super().handle(conn)
        receiver = getattr(conn.sock, "receiver", None)  # TLS sockets are of another class
        if receiver is None:
            return outcome
        conn.sock.receiver = None
        # As the head said, unless a drain has begun since.
        stays = (
            self.alive
            and self.cfg.keepalive
            and len(self.keepalived_conns) < self.max_keepalived
            and not conn.request.should_close()
        )
        try:
            stays = self._keepalive_after(conn, stays)
            receiver.begin(partial(self._take_back, conn, stays))
        except Exception:
            self.log.exception("A connection could not be handed off")
            return False
        return _HANDED_OFF

    def _take_back(self, conn: Connection, stays: bool, is_whole: bool) -> None:  # noqa: FBT001 -- called by `begin` alone
        """Continue with a connection that was handed off. Thread-safe."""
        served: Future[bool] = Future()
        served.set_result(stays and is_whole)
        self.method_queue.defer(self.finish_request, conn, served)

    def finish_request(self, conn: Connection, fs: "Future[Any]") -> None:
        """Decide what happens to a connection; a handed-off one still counts. Main thread only."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not _HANDED_OFF:
            super().finish_request(conn, fs)

    def linger(self, conn: Connection) -> None:
        """Half-close, and let the poller wait for the client to close. Main thread only."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.settimeout(0.0)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_lingering_readable, conn)
            )
        except (OSError, ValueError, KeyError):
            conn.close()
            return
        # Still counted, so that they are limited, and a stopping worker waits for them.
        self.nr_conns += 1
        conn.timeout = time.monotonic() + LINGER_S
        self.lingering.append(conn)

    def on_lingering_readable(self, conn: Connection, client: socket.socket) -> None:
        """Discard what the client still sends; close at its end, or after too much of it."""
        try:
            dropped = len(client.recv(LINGER_BYTES))
        except BlockingIOError:
            return
        except OSError:
            dropped = 0
        conn.drained_bytes += dropped
        if not dropped or conn.drained_bytes >= LINGER_BYTES:
            self.lingering.remove(conn)
            self._forget(conn)

    def murder_pending(self) -> None:
        """Close connections that have waited too long; gunicorn calls this at each wake-up."""
        super().murder_pending()
        now = time.monotonic()
        while self.lingering and self.lingering[0].timeout <= now:
            self._forget(self.lingering.popleft())

    def _forget(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def run(self) -> None:
        """Serve until told to stop, then close the application."""
        super().run()
        close = getattr(self.wsgi, "close", None)
        if close is not None:
            # In a thread, because a call that hangs must not delay the exit.
            closing = threading.Thread(target=close, name="xwe-close", daemon=True)
            closing.start()
            closing.join(CLOSE_WITHIN_S)

    def is_parent_alive(self) -> bool:
        """Whether the master is still there; without it, this worker drains as after SIGTERM."""
        if not super().is_parent_alive():
            # Only ever set to False: a signal may do so between any two steps of this thread.
            self.alive = False
        return self.alive

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 -- gunicorn's signature
        """Start or stop accepting; gunicorn's loop ends with a stop, which begins the drain."""
        super().set_accept_enabled(enabled)
        # Not when enabled: a signal may arrive after gunicorn has checked `alive`.
        if not enabled and not self.alive and not self.is_draining:
            self.is_draining = True
            self._begin_drain()

    def _begin_drain(self) -> None:
        begin_drain = getattr(self.wsgi, "begin_drain", None)
        if begin_drain is not None:
            try:
                begin_drain()
            except Exception:  # running requests must not suffer from it
                self.log.exception("The application could not begin its drain")
        # In a reload, the master and the new workers have them too, and keep accepting.
        for listener in self.sockets:
            listener.close()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at once (SIGINT, SIGQUIT)."""
        timer = threading.Timer(QUICK_STOP_S, os._exit, args=(0,))
        timer.daemon = True
        timer.start()
        super().handle_quit(sig, frame)
