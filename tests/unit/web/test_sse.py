"""How a live answer is written to one client: what goes out together, and when."""

import socket

import pytest

from xwe.streams.live_stream import LiveStream
from xwe.web.sse import ThreadWriter, WritingTimes
from xwe.web.stream_places import StreamPlaces

QUICK = WritingTimes(flush_s=0.0, heartbeat_s=0.02, look_s=0.01)


@pytest.fixture
def stream():
    return LiveStream("id", "owner", max_bytes=1000)


@pytest.fixture
def place():
    places = StreamPlaces(1)
    yield places.take("owner")
    assert places.stats().running == 0


@pytest.fixture
def write(place):
    """A writer for a stream, closed in the end as a server does."""
    writers = []

    def make(stream, after=0, connection=None, times=QUICK):
        writers.append(ThreadWriter(stream.join(after), times, place, connection))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()
        writer.close()


def test_events_carry_their_numbers_and_what_is_there_goes_out_in_one_piece(stream, write):
    stream.append(b'{"a":1}')
    stream.append('{"b":"雾"}'.encode())
    writer = write(stream)
    assert next(writer).decode() == 'id: 1\ndata: {"a":1}\n\nid: 2\ndata: {"b":"雾"}\n\n'


def test_the_end_goes_out_with_the_last_event(stream, write):
    stream.append(b"1")
    stream.finish()
    assert list(write(stream)) == [b"id: 1\ndata: 1\n\ndata: [DONE]\n\n"]


def test_who_has_seen_all_of_a_finished_answer_gets_the_end_alone(stream, write):
    stream.append(b"1")
    stream.finish()
    assert list(write(stream, after=1)) == [b"data: [DONE]\n\n"]


def test_a_comment_goes_out_in_a_silence(stream, write):
    writer = write(stream)
    assert next(writer) == b": still here\n\n"
    stream.append(b"1")
    assert next(writer) == b"id: 1\ndata: 1\n\n"


def test_a_reader_that_is_too_slow_is_told_and_the_stream_ends_for_it(stream, write):
    writer = write(stream)
    for _ in range(50):
        stream.append(b"x" * 100)
    last = next(writer)
    assert b'"code":"stream_gap"' in last
    assert last.endswith(b"data: [DONE]\n\n")
    assert list(writer) == []


def test_a_client_that_left_in_silence_is_noticed_between_two_heartbeats(stream, write):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = write(stream, connection=ours, times=WritingTimes(0.0, 60.0, 0.01))
        theirs.close()
        with pytest.raises(ConnectionResetError):
            next(writer)


def test_a_client_that_is_there_is_left_alone(stream, write):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"the next request, early")
        assert next(write(stream, connection=ours)) == b": still here\n\n"


def test_a_writer_that_was_never_asked_gives_everything_back(stream, write):
    writer = write(stream)
    assert stream.readers == 1
    writer.close()
    assert stream.readers == 0
