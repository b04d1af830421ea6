"""The loop as a writer: who reads slowly gets all of it, who reads nothing is cut."""

import queue
import socket

import pytest

from xwe.streams.live_stream import LiveStream
from xwe.web.lending import LendableSocket, LentError
from xwe.web.loop_writer import LoopWriter
from xwe.web.sse import WritingTimes
from xwe.web.stream_places import StreamPlaces

# More than the two sockets hold.
LONG = b"x" * 2_000_000


@pytest.fixture
def line():
    """A client's end and the server's, which is lendable."""
    client, accepted = socket.socketpair()
    server = LendableSocket(fileno=accepted.detach())
    server.send_timeout_s = 60.0
    client.settimeout(60)
    with client, server:
        yield client, server


@pytest.fixture
def stream():
    return LiveStream("id", "owner")


@pytest.fixture
def lend(line, stream):
    """Lends the server's end; a queue of what `give_back` is told."""
    places = StreamPlaces(1)
    place = places.take("owner")

    def make(heartbeat_s=15.0):
        told = queue.SimpleQueue()
        writer = LoopWriter(stream.join(), WritingTimes(0.0, heartbeat_s), place, line[1])
        assert next(writer) == b""
        with pytest.raises(LentError):
            next(writer)
        writer.close()
        assert stream.readers == 1
        assert line[1].borrower is writer
        writer.begin(told.put)
        return told

    yield make
    assert stream.readers == 0
    assert places.stats().running == 0


def test_a_slow_reader_gets_all_of_it(line, stream, lend):
    stream.append(LONG)
    stream.finish()
    told = lend()
    received = b""
    while not received.endswith(b"\r\n0\r\n\r\n"):
        received += line[0].recv(50_000)
    assert told.get(timeout=60) is True
    assert LONG in received
    assert told.empty()


def test_one_that_takes_nothing_is_cut_at_the_send_timeout(line, stream, lend):
    line[1].send_timeout_s = 0.2
    stream.append(LONG)
    assert lend().get(timeout=60) is False
    line[1].close()
    assert not b"".join(iter(lambda: line[0].recv(1_000_000), b"")).endswith(b"0\r\n\r\n")


def test_one_that_leaves_is_noticed_without_anything_to_write(line, stream, lend):
    told = lend()
    line[0].close()
    assert told.get(timeout=60) is False
    stream.append(b"1")


def test_silence_is_bridged_by_comments_and_events_still_come(line, stream, lend):
    told = lend(heartbeat_s=0.05)
    comment = b"E\r\n: still here\n\n\r\n"
    assert line[0].recv(len(comment)) == comment
    stream.append(b"1")
    stream.finish()
    received = b""
    while not received.endswith(b"\r\n0\r\n\r\n"):
        received += line[0].recv(1000)
    assert b"id: 1\ndata: 1\n\n" in received
    assert b"data: [DONE]\n\n" in received
    assert told.get(timeout=60) is True
