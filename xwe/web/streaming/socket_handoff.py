"""Handing a client's connection from a request's thread to someone else.

A view that answers for long takes its thread with it. Where the server is ours, the view can hand
the connection off instead: the worker goes on owning and counting it, and gets it back at the end.
"""

import errno
import socket
from collections.abc import Callable
from typing import Protocol

HandBack = Callable[[bool], object]
"""Ends a handoff, from any thread; True when another request may come on the connection."""


class Receiver(Protocol):
    """Continues a response in place of its request's thread."""

    def begin(self, hand_back: HandBack) -> None:
        """Use the connection without blocking this thread; call `hand_back` once at the end."""


class HandoffSocket(socket.socket):
    """A client's connection that can be handed off.

    Attributes:
        send_timeout_s: how long a client may take nothing, in seconds.
        receiver: who gets it once its request's thread is done with it.
    """

    send_timeout_s: float
    receiver: Receiver | None = None

    def hand_off(self, receiver: Receiver) -> None:
        """Have `receiver` begin once the server lets go of the response; then raise HandedOff."""
        self.receiver = receiver


class HandedOff(ConnectionResetError):  # noqa: N818 - not an error
    """Not an error: the response goes on elsewhere."""

    def __init__(self) -> None:
        # With this errno, gunicorn treats it as any lost connection.
        super().__init__(errno.ECONNRESET, "the connection has been handed off")
