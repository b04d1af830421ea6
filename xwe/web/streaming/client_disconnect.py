"""Noticing that a client has disconnected while there is nothing to write to it.

A WSGI server finds out at the next write that fails. While the model thinks there is none, and a
provider is paid for an answer that nobody reads.
"""

import errno
import socket
from wsgiref.types import WSGIEnvironment


class ClientDisconnectedError(ConnectionResetError):
    """The client closed its connection before the answer's end."""

    def __init__(self) -> None:
        # With this errno, WSGI servers treat it as any lost connection, without a traceback.
        super().__init__(errno.ECONNRESET, "the client has disconnected")


def connection_of(environ: WSGIEnvironment) -> socket.socket | None:
    """The client's connection, where the server (gunicorn's threads, Werkzeug) shows it."""
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")


def has_disconnected(connection: socket.socket) -> bool:
    """Whether the other end has closed; what it has sent stays to be read."""
    try:
        # The plain socket's method: under TLS, flags are refused, and the bytes below it tell.
        return not socket.socket.recv(connection, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
