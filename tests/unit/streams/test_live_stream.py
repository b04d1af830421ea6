"""Numbered events: nothing is missed, nothing comes twice, and nobody waits for anybody."""

import threading
import time

import pytest

from xwe.errors import ClosedError, StreamGapError
from xwe.streams.live_stream import EVENT_OVERHEAD_BYTES, LiveStream

SOON_S = 60.0


def stream_of(*events: bytes, **options) -> LiveStream:
    stream = LiveStream("id", "owner", **options)
    for event in events:
        stream.append(event)
    return stream


def until_somebody_waits(stream):
    ends_at = time.monotonic() + SOON_S
    while not stream._wakes:
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def test_a_reader_takes_all_there_is_at_once_and_then_the_end():
    stream = stream_of(b"a", b"b")
    stream.finish()
    reader = stream.join()
    assert reader.drain() == [b"a", b"b"]
    assert reader.has_ended
    assert reader.drain() == []


def test_a_reader_joins_after_the_number_it_saw():
    reader = stream_of(b"a", b"b", b"c").join(after=2)
    assert reader.drain() == [b"c"]
    assert reader.number == 3
    assert not reader.has_ended


def test_a_reader_that_waits_is_woken_by_the_next_event():
    stream = stream_of()
    reader, taken = stream.join(), []
    woken = threading.Thread(target=lambda: taken.append(reader.drain(SOON_S)))
    woken.start()
    until_somebody_waits(stream)
    stream.append(b"a")
    woken.join(SOON_S)
    assert taken == [[b"a"]]


def test_a_reader_that_waits_hears_of_the_end():
    stream = stream_of()
    reader = stream.join()
    ended = threading.Thread(target=reader.drain)
    ended.start()
    until_somebody_waits(stream)
    stream.finish()
    ended.join(SOON_S)
    assert not ended.is_alive()


def test_a_wait_that_ends_in_time_leaves_nothing_behind():
    stream = stream_of()
    reader = stream.join()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            reader.drain(0.001)
    assert stream._wakes == []
    stream.append(b"a")
    assert reader.drain(0) == [b"a"]


def test_a_poll_is_answered_by_one_call_for_the_next_events():
    stream = stream_of()
    reader, calls = stream.join(), []
    assert reader.poll(lambda: calls.append("woken")) is None
    stream.append(b"a")
    stream.append(b"b")
    assert calls == ["woken"]
    assert reader.poll(lambda: calls.append("again")) == [b"a", b"b"]
    assert calls == ["woken"]


def test_a_reader_that_leaves_is_not_called_any_more():
    stream = stream_of()
    reader, calls = stream.join(), []
    reader.poll(lambda: calls.append("woken"))
    reader.close()
    stream.append(b"a")
    assert calls == []


def test_readers_are_counted_once_each():
    counts = []
    stream = stream_of(on_readers=lambda stream: counts.append(stream.readers))
    one, other = stream.join(), stream.join()
    one.close()
    one.close()
    other.close()
    assert counts == [1, 2, 1, 0]


def test_memory_is_bounded_and_those_who_come_too_late_are_told():
    size = 100 + EVENT_OVERHEAD_BYTES
    stream = stream_of(max_bytes=10 * size)
    slow = stream.join()
    for _ in range(25):
        stream.append(b"x" * 100)
        assert stream.kept_bytes <= 10 * size
    with pytest.raises(StreamGapError):
        stream.join(after=0)
    with pytest.raises(StreamGapError):
        slow.drain()
    kept = stream.last_number - stream.kept_bytes // size
    assert len(stream.join(after=kept).drain()) == 25 - kept


def test_an_event_larger_than_the_bound_is_still_delivered():
    assert stream_of(b"x" * 1000, max_bytes=10).join().drain() == [b"x" * 1000]


def test_a_number_that_was_never_reached_is_a_gap():
    with pytest.raises(StreamGapError):
        stream_of(b"a").join(after=2)


def test_nothing_follows_the_end():
    stream = stream_of()
    stream.finish()
    with pytest.raises(ClosedError):
        stream.append(b"late")


def test_a_reader_that_takes_nothing_delays_neither_the_writer_nor_the_others():
    """The slow one never drains; the quick one sees every event as it comes."""
    stream = stream_of()
    stream.join()
    quick = stream.join()
    for number in range(1000):
        stream.append(b"%d" % number)
        assert quick.drain(5) == [b"%d" % number]


def test_many_readers_and_a_writer_at_once_see_the_same_events_in_order():
    stream, expected = stream_of(), [b"%d" % number for number in range(500)]
    barrier, seen = threading.Barrier(17), []

    def read():
        reader, taken = stream.join(), []
        barrier.wait(SOON_S)
        while events := reader.drain(SOON_S):
            taken += events
        reader.close()
        seen.append(taken)

    readers = [threading.Thread(target=read) for _ in range(16)]
    for thread in readers:
        thread.start()
    barrier.wait(SOON_S)
    for event in expected:
        stream.append(event)
    stream.finish()
    for thread in readers:
        thread.join(SOON_S)
    assert seen == [expected] * 16
    assert stream.readers == 0
