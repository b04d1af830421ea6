"""Numbered events: nothing is missed, nothing comes twice, and nobody waits for anybody."""

import threading
import time

import pytest

from xwe.errors import ClosedError, StreamGapError
from xwe.streams.event_log import EVENT_OVERHEAD_BYTES, EventLog, EventReader

SOON_S = 60.0


def log_of(*events: bytes, **options) -> EventLog:
    log = EventLog(**options)
    log.extend(events)
    return log


def until_somebody_waits(log):
    ends_at = time.monotonic() + SOON_S
    while not log._wakes:
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def test_a_reader_takes_all_there_is_at_once_and_then_the_end():
    log = log_of(b"a", b"b")
    log.finish()
    reader = EventReader(log)
    assert reader.drain() == [b"a", b"b"]
    assert reader.has_ended
    assert reader.drain() == []


def test_a_reader_joins_after_the_number_it_saw():
    reader = EventReader(log_of(b"a", b"b", b"c"), 2)
    assert reader.drain() == [b"c"]
    assert reader.number == 3
    assert not reader.has_ended


def test_a_reader_that_waits_is_woken_by_the_next_event():
    log = log_of()
    reader, taken = EventReader(log), []
    woken = threading.Thread(target=lambda: taken.append(reader.drain(SOON_S)))
    woken.start()
    until_somebody_waits(log)
    log.extend([b"a"])
    woken.join(SOON_S)
    assert taken == [[b"a"]]


def test_a_reader_that_waits_hears_of_the_end():
    log = log_of()
    reader = EventReader(log)
    ended = threading.Thread(target=reader.drain)
    ended.start()
    until_somebody_waits(log)
    log.finish()
    ended.join(SOON_S)
    assert not ended.is_alive()


def test_a_wait_that_ends_in_time_leaves_nothing_behind():
    log = log_of()
    reader = EventReader(log)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            reader.drain(0.001)
    assert log._wakes == []
    log.extend([b"a"])
    assert reader.drain(0) == [b"a"]


def test_a_poll_is_answered_by_one_call_for_the_next_events():
    log = log_of()
    reader, calls = EventReader(log), []
    assert reader.poll(lambda: calls.append("woken")) is None
    log.extend([b"a"])
    log.extend([b"b"])
    assert calls == ["woken"]
    assert reader.poll(lambda: calls.append("again")) == [b"a", b"b"]
    assert calls == ["woken"]


def test_a_reader_that_leaves_is_not_called_any_more():
    log = log_of()
    reader, calls = EventReader(log), []
    reader.poll(lambda: calls.append("woken"))
    reader.close()
    log.extend([b"a"])
    assert calls == []


def test_readers_are_counted_once_each():
    counts = []
    log = log_of(on_readers=lambda: counts.append(log.readers))
    one, other = EventReader(log), EventReader(log)
    one.close()
    one.close()
    other.close()
    assert counts == [1, 2, 1, 0]


def test_memory_is_bounded_and_those_who_come_too_late_are_told():
    size = 100 + EVENT_OVERHEAD_BYTES
    log = log_of(max_bytes=10 * size)
    slow = EventReader(log)
    for _ in range(25):
        log.extend([b"x" * 100])
        assert log.kept_bytes <= 10 * size
    with pytest.raises(StreamGapError):
        EventReader(log, 0)
    with pytest.raises(StreamGapError):
        slow.drain()
    kept = log.last_number - log.kept_bytes // size
    assert len(EventReader(log, kept).drain()) == 25 - kept


def test_an_event_larger_than_the_bound_is_still_delivered():
    assert EventReader(log_of(b"x" * 1000, max_bytes=10)).drain() == [b"x" * 1000]


def test_a_number_that_was_never_reached_is_a_gap():
    with pytest.raises(StreamGapError):
        EventReader(log_of(b"a"), 2)


def test_a_reader_of_new_events_only_sees_none_of_the_old_ones():
    log = log_of(b"old")
    reader = EventReader(log, None)
    log.extend([b"new", b"newer"])
    assert reader.drain() == [b"new", b"newer"]
    assert reader.number == 3


def test_who_waits_for_the_end_alone_is_not_woken_before_it():
    log, ended = log_of(), []
    waiting = threading.Thread(target=lambda: ended.append(log.wait_for_finish(SOON_S)))
    waiting.start()
    log.extend([b"a"])
    assert log.wait_for_finish(0.001) is False
    assert ended == []
    log.finish()
    waiting.join(SOON_S)
    assert ended == [True]
    assert log.wait_for_finish(0) is True


def test_nothing_follows_the_end():
    log = log_of()
    log.finish()
    with pytest.raises(ClosedError):
        log.extend([b"late"])


def test_a_reader_that_takes_nothing_delays_neither_the_writer_nor_the_others():
    """The slow one never drains; the quick one sees every event as it comes."""
    log = log_of()
    EventReader(log)
    quick = EventReader(log)
    for number in range(1000):
        log.extend([b"%d" % number])
        assert quick.drain(5) == [b"%d" % number]


def test_many_readers_and_a_writer_at_once_see_the_same_events_in_order():
    log, expected = log_of(), [b"%d" % number for number in range(500)]
    barrier, seen = threading.Barrier(17), []

    def read():
        reader, taken = EventReader(log), []
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
        log.extend([event])
    log.finish()
    for thread in readers:
        thread.join(SOON_S)
    assert seen == [expected] * 16
    assert log.readers == 0
