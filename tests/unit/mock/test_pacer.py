"""The pace of many streams, on a clock of the test's own."""

import asyncio
from types import SimpleNamespace

import pytest

from xwe.mock.pacer import PacedStream, Pacer


class Clock:
    """An event loop's clock and timers, moved by hand."""

    def __init__(self):
        self.now, self.timer = 100.0, None

    def time(self):
        return self.now

    def call_at(self, when, callback, *args):
        self.timer = (when, callback, args)
        return SimpleNamespace(cancel=lambda: None)

    def run_until(self, when):
        while self.timer and self.timer[0] <= when:
            self.now, callback, args = self.timer
            self.timer = None
            callback(*args)
        self.now = when


class Transport:
    """Remembers what was written and when."""

    def __init__(self, clock):
        self._clock, self.written, self.closing = clock, [], False

    def write(self, data):
        _, _, body = data.partition(b"\r\n")
        self.written.append((round(self._clock.now - 100, 3), body.removesuffix(b"\r\n")))

    def is_closing(self):
        return self.closing


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pacer():
    return Pacer()


async def stream_of(clock, pacer, pieces, tokens_per_s, due=None):
    transport = Transport(clock)
    request = SimpleNamespace(transport=transport, protocol=SimpleNamespace(writing_paused=False))
    due = range(len(pieces)) if due is None else due
    stream = PacedStream(request, pieces, due, tokens_per_s, clock.now)
    stream.stopped = asyncio.get_running_loop().create_future()
    pacer.add(stream, clock)
    return stream, transport


async def test_pieces_go_when_their_tokens_are_due(clock, pacer):
    stream, transport = await stream_of(clock, pacer, [b"a", b"b", b"c"], 10, due=[0, 1, 4])
    clock.run_until(101)
    assert transport.written == [(0.0, b"a"), (0.1, b"b"), (0.4, b"c")]
    assert stream.stopped.done()
    assert clock.timer is None


async def test_streams_do_not_disturb_each_other(clock, pacer):
    _, slow = await stream_of(clock, pacer, [b"s", b"S"], 1)
    clock.run_until(100.25)
    _, fast = await stream_of(clock, pacer, [b"a", b"b", b"c"], 10)
    clock.run_until(102)
    assert slow.written == [(0.0, b"s"), (1.0, b"S")]
    assert fast.written == [(0.25, b"a"), (0.35, b"b"), (0.45, b"c")]


async def test_late_pieces_go_together_and_the_schedule_holds(clock, pacer):
    _, transport = await stream_of(clock, pacer, [b"a", b"b", b"c", b"d"], 10)
    late, clock.timer = clock.timer, None
    clock.now = 100.25  # the loop was blocked
    late[1](*late[2])
    clock.run_until(101)
    assert transport.written == [(0.0, b"a"), (0.25, b"bc"), (0.3, b"d")]


async def test_a_stream_stops_where_its_reader_does_not_keep_up(clock, pacer):
    stream, transport = await stream_of(clock, pacer, [b"a", b"b", b"c"], 10)
    stream.request.protocol.writing_paused = True
    clock.run_until(100.5)
    assert (transport.written, stream.next) == ([(0.0, b"a")], 1)
    assert stream.stopped.done()


async def test_nothing_is_written_for_a_client_that_left(clock, pacer):
    stream, transport = await stream_of(clock, pacer, [b"a", b"b"], 10)
    stream.stopped.cancel()
    closing, gone = await stream_of(clock, pacer, [b"x", b"y"], 10)
    gone.closing = True
    clock.run_until(101)
    assert [text for _, text in transport.written + gone.written] == [b"a", b"x"]
    assert closing.stopped.done()
