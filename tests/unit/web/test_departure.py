"""Noticing that the reader has hung up while the model is silent."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import pytest

from xwe.web.departure import ReaderLeftError, until_reader_leaves


class SilentModel:
    """Says its words, then thinks for ever."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self.closed = False

    async def _say(self) -> AsyncGenerator[str, None]:
        for word in self._words:
            yield word
        await asyncio.get_running_loop().create_future()

    def __aiter__(self) -> AsyncIterator[str]:
        return self._say()

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_a_reader_who_leaves_ends_the_wait(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = connection
    model = SilentModel("a")
    items = until_reader_leaves(model, ours)
    assert await anext(items) == "a"
    theirs.close()
    with pytest.raises(ReaderLeftError):
        async with asyncio.timeout(60):
            await anext(items)
    assert model.closed


async def test_a_next_request_on_the_connection_is_not_a_departure(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = connection
    items = until_reader_leaves(SilentModel("a"), ours)
    theirs.send(b"GET / HTTP/1.1\r\n")
    assert await anext(items) == "a"
    waiting = asyncio.ensure_future(anext(items))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ours.recv(3) == b"GET"  # what was only looked at is still there


async def test_a_cancellation_from_elsewhere_stays_one(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    model = SilentModel()
    waiting = asyncio.ensure_future(anext(until_reader_leaves(model, connection[0])))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert model.closed


async def test_the_servers_own_socket_is_left_as_it_was(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = connection
    items = until_reader_leaves(SilentModel("a"), ours)
    await anext(items)
    await items.aclose()
    ours.sendall(b"still open")
    assert theirs.recv(20) == b"still open"


async def test_a_connection_that_is_closed_already_is_a_departure() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        model = SilentModel("a")
        with pytest.raises(OSError, match="file descriptor"):
            await anext(until_reader_leaves(model, ours))
        assert model.closed
