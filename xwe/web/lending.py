"""A client's connection that a WSGI server's worker lends out.

A view that answers for long takes its thread with it. Where the server is ours, the view can lend
the connection instead: the worker goes on owning and counting it, and has it back at the end.
"""

import errno
import socket
from collections.abc import Callable
from typing import Protocol

GiveBack = Callable[[bool], object]
"""Ends a loan, from any thread; True when another request may come on the connection."""


class Borrower(Protocol):
    """Goes on with a response in the place of its request's thread."""

    def begin(self, give_back: GiveBack) -> None:
        """Use the connection, without blocking this thread; call `give_back` once at the end."""


class LendableSocket(socket.socket):
    """A client's connection.

    Attributes:
        send_timeout_s: how long a client may take nothing, in seconds.
        borrower: who gets it when its request's thread is done with it.
    """

    send_timeout_s: float
    borrower: Borrower | None = None

    def lend(self, borrower: Borrower) -> None:
        """Let `borrower` begin when the server has let go of the response: raise LentError then."""
        self.borrower = borrower


class LentError(ConnectionResetError):
    """No error: the response goes on elsewhere."""

    def __init__(self) -> None:
        # With its number, gunicorn passes over it as over any other lost connection.
        super().__init__(errno.ECONNRESET, "the connection has been lent")
