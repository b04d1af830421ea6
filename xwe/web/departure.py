"""Noticing that the reader has hung up, also while there is nothing to write to them.

A WSGI server finds out at the next write that fails. While the model thinks there is none, and a
provider goes on and is paid for an answer that nobody reads.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Protocol, TypeVar
from wsgiref.types import WSGIEnvironment

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class ReaderLeftError(ConnectionResetError):
    """The client closed its connection before the answer's end."""

    def __init__(self) -> None:
        # With its number, WSGI servers pass over it as over any other lost connection.
        super().__init__(errno.ECONNRESET, "the reader has left")


class ClosableStream(Protocol[T_co]):
    """An asynchronous iterator that holds something open."""

    def __aiter__(self) -> AsyncIterator[T_co]:
        """The items."""

    async def aclose(self) -> None:
        """Let go of it."""


def connection_of(environ: WSGIEnvironment) -> socket.socket | None:
    """The client's connection, where the server (gunicorn's threads, Werkzeug) shows it."""
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")


async def until_reader_leaves(
    stream: ClosableStream[T], connection: socket.socket
) -> AsyncGenerator[T, None]:
    """The items of `stream`, until the other end of `connection` is closed; for one task to read.

    Raises:
        ReaderLeftError: it was; `stream` has been closed.
    """
    task = asyncio.current_task()
    left = False

    def leave() -> None:
        nonlocal left
        left = True
        if task is not None:
            task.cancel()

    try:
        with _watch(connection, leave):
            async for item in stream:
                yield item
    except asyncio.CancelledError:
        if not left or task is None:
            raise
        task.uncancel()
        raise ReaderLeftError from None
    finally:
        await stream.aclose()


@contextlib.contextmanager
def _watch(connection: socket.socket, on_end: Callable[[], None]) -> Iterator[None]:
    """Call `on_end` on the running loop when `connection` has been closed from the other end."""
    loop = asyncio.get_running_loop()
    # A descriptor of our own: the server may close its one, and the number be given away again,
    # before this thread has stopped watching.
    own = socket.socket(fileno=os.dup(connection.fileno()))

    def look() -> None:
        try:
            ended = not own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        loop.remove_reader(own.fileno())  # a next request would keep it readable for ever
        if ended:
            on_end()

    loop.add_reader(own.fileno(), look)
    try:
        yield
    finally:
        loop.remove_reader(own.fileno())
        own.close()
