"""Answers that live on the loop: begun, joined, stopped, left alone, and forgotten."""

import asyncio
import logging
import threading
import time

import pytest

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DrainingError, LimitExceededError, SaturatedError, UnknownStreamError
from xwe.streams import ui_messages
from xwe.streams.live_streams import LiveStreams, StreamLimits

SOON_S = 60.0


class Source:
    """Events that the test lets out one by one."""

    def __init__(self):
        self._queue = asyncio.Queue()
        self.closed = asyncio.Event()

    def say(self, *events):
        for event in events:
            get_loop_thread().loop.call_soon_threadsafe(self._queue.put_nowait, event)

    def end(self):
        self.say(None)

    async def events(self):
        try:
            while (event := await self._queue.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed.set()

    def wait_until_closed(self):
        get_loop_thread().run(self.closed.wait(), SOON_S)


@pytest.fixture
def source():
    return Source()


def begin(streams, source, stream_id="s", owner="me"):
    return streams.begin(source.events(), owner, stream_id)


def begin_and_join(streams, source):
    """Both in one step of the loop, so that no time passes in which nobody reads."""

    async def on_the_loop():
        stream = begin(streams, source)
        return stream, stream.join()

    return get_loop_thread().run(on_the_loop())


def read_to_end(reader):
    """All that is left."""
    taken = []
    while events := reader.drain(SOON_S):
        taken += events
    reader.close()
    return taken


def pass_the_loop():
    """Until what has been handed to the loop has run."""
    get_loop_thread().run(asyncio.sleep(0))
    get_loop_thread().run(asyncio.sleep(0))


def test_an_answer_goes_on_without_readers(source):
    streams = LiveStreams()
    stream = begin(streams, source)
    stream.join().close()
    source.say(b"1", b"2")
    source.end()
    source.wait_until_closed()
    assert read_to_end(streams.find("s", "me").join()) == [b"1", b"2"]


@pytest.mark.parametrize(("stream_id", "owner"), [("s", "you"), ("other", "me")])
def test_a_foreign_answer_is_the_same_as_none(source, stream_id, owner):
    streams = LiveStreams()
    reader = begin(streams, source).join()
    for ask in (streams.find, streams.stop):
        with pytest.raises(UnknownStreamError) as refusal:
            ask(stream_id, owner)
        assert refusal.value.message == UnknownStreamError().message
    source.end()
    assert read_to_end(reader) == []


def test_stop_keeps_what_came_and_closes_the_source(source):
    streams = LiveStreams()
    reader = begin(streams, source).join()
    source.say(b"1")
    assert reader.drain(SOON_S) == [b"1"]
    streams.stop("s", "me")
    streams.stop("s", "me")
    assert read_to_end(reader) == [ui_messages.ABORT]
    source.wait_until_closed()
    assert streams.running == 0


def test_stop_is_not_lost_when_it_comes_before_the_first_step(source):
    """Both are handed to the loop while it is busy with something else."""
    streams = LiveStreams()

    async def begin_and_stop():
        stream = begin(streams, source)
        streams.stop("s", "me")
        return stream.join()

    reader = get_loop_thread().run(begin_and_stop())
    assert read_to_end(reader) == [ui_messages.ABORT]


def test_a_stop_that_comes_with_the_end_does_not_keep_readers_waiting(source):
    """The source is in its clean-up when it is cancelled: the stream ends all the same."""
    cleaning, go_on = asyncio.Event(), asyncio.Event()

    async def slow_to_close():
        try:
            yield b"1"
        finally:
            cleaning.set()
            await go_on.wait()

    streams = LiveStreams()
    reader = streams.begin(slow_to_close(), "me", "s").join()
    get_loop_thread().run(cleaning.wait(), SOON_S)
    streams.stop("s", "me")
    assert read_to_end(reader) == [b"1", ui_messages.ABORT]


def test_what_a_source_did_not_turn_into_an_event_is_logged_and_told(source, caplog):
    streams = LiveStreams()
    reader = begin(streams, source).join()
    with caplog.at_level(logging.ERROR):
        source.say(b"1", ZeroDivisionError("a secret"))
        assert read_to_end(reader) == [b"1", ui_messages.INTERNAL_ERROR]
    assert "broke" in caplog.text


def test_so_many_run_and_the_next_is_refused(source):
    streams = LiveStreams(StreamLimits(max_running=1))
    reader = begin(streams, source).join()
    with pytest.raises(SaturatedError):
        begin(streams, Source(), "next")
    source.end()
    assert read_to_end(reader) == []
    pass_the_loop()
    again = Source()
    reader = begin(streams, again, "again").join()
    again.end()
    assert read_to_end(reader) == []


def test_a_place_counts_until_it_is_given_back(source):
    streams = LiveStreams(StreamLimits(max_running=1))
    with streams.reserve("me", "s") as place, pytest.raises(SaturatedError):
        streams.reserve("me", "next")
    assert streams.running == 0
    with streams.reserve("me", "s") as place:
        stream = place.begin(source.events())
    assert streams.running == 1
    assert streams.find("s", "me") is stream is place.stream
    reader = stream.join()
    source.end()
    assert read_to_end(reader) == []


def test_a_place_is_one_of_its_owners(source):
    streams = LiveStreams(StreamLimits(max_running_each=1))
    with streams.reserve("me", "s"):
        with pytest.raises(LimitExceededError):
            streams.reserve("me", "next")
        with streams.reserve("you", "other"):
            assert streams.running == 2


def test_a_place_that_was_had_before_the_end_of_the_process_is_shut_down(source):
    streams = LiveStreams()
    with streams.reserve("me", "s") as place:
        streams.shut_down()
        reader = place.begin(source.events()).join()
    assert read_to_end(reader) == [ui_messages.SHUTDOWN]


def test_finished_answers_are_forgotten_after_a_while(source):
    streams = LiveStreams(StreamLimits(keep_s=0.05))
    reader = begin(streams, source).join()
    source.end()
    assert read_to_end(reader) == []

    async def forgotten():
        while True:
            try:
                streams.find("s", "me")
            except UnknownStreamError:
                return
            await asyncio.sleep(0.01)

    get_loop_thread().run(forgotten(), SOON_S)


def test_the_oldest_finished_answers_go_when_memory_is_short():
    streams = LiveStreams(StreamLimits(max_kept_bytes=2500))
    for number in range(4):
        source = Source()
        reader = begin(streams, source, f"s{number}").join()
        source.say(b"x" * 1000)
        source.end()
        assert read_to_end(reader) == [b"x" * 1000]
        pass_the_loop()
    for gone in ("s0", "s1"):
        with pytest.raises(UnknownStreamError):
            streams.find(gone, "me")
    for kept in ("s2", "s3"):
        assert streams.find(kept, "me").is_finished
    assert streams._finished_bytes <= 2500


def test_an_answer_that_nobody_reads_is_cancelled_after_a_while(source):
    streams = LiveStreams(StreamLimits(on_disconnect="cancel", alone_s=0.05))
    _, reader = begin_and_join(streams, source)
    source.say(b"1")
    assert reader.drain(SOON_S) == [b"1"]  # a source that has not begun has nothing to close
    reader.close()
    source.wait_until_closed()
    assert read_to_end(streams.find("s", "me").join()) == [b"1", ui_messages.ABORT]


def test_a_reader_that_comes_back_in_time_keeps_an_answer_alive(source):
    alone_s = 0.2
    streams = LiveStreams(StreamLimits(on_disconnect="cancel", alone_s=alone_s))
    stream, reader = begin_and_join(streams, source)
    standing, may_go_on = threading.Event(), threading.Event()

    def leave_and_stand_still():
        reader.close()  # the time begins, and cannot be over before the loop goes on
        standing.set()
        may_go_on.wait(SOON_S)
        time.sleep(alone_s)  # so that the time is over before the loop hears of the return

    get_loop_thread().loop.call_soon_threadsafe(leave_and_stand_still)
    assert standing.wait(SOON_S)
    reader_again = stream.join()
    may_go_on.set()
    pass_the_loop()
    source.say(b"still here")
    assert reader_again.drain(SOON_S) == [b"still here"]
    reader_again.close()
    source.wait_until_closed()


def test_a_leaver_that_is_overtaken_by_a_newcomer_does_not_end_the_answer(source):
    """What counts is who reads when the loop looks, not whose news comes last."""
    streams = LiveStreams(StreamLimits(on_disconnect="cancel", alone_s=0.01))
    stream, first = begin_and_join(streams, source)
    late_news = streams._watch_readers
    second = stream.join()
    first.close()
    late_news(stream)
    get_loop_thread().run(asyncio.sleep(0.1))
    assert not stream.is_finished
    source.end()
    assert read_to_end(second) == []


def test_a_drain_lets_answers_finish_and_takes_no_new_ones(source):
    streams = LiveStreams()
    reader = begin(streams, source).join()
    streams.drain(60)
    with pytest.raises(DrainingError):
        begin(streams, Source(), "late")
    source.say(b"1")
    source.end()
    assert read_to_end(reader) == [b"1"]


def test_what_still_runs_when_the_drain_is_over_says_so(source):
    streams = LiveStreams()
    reader = begin(streams, source).join()
    source.say(b"1")
    assert reader.drain(SOON_S) == [b"1"]
    streams.drain(0.01)
    assert read_to_end(reader) == [ui_messages.SHUTDOWN]
    source.wait_until_closed()
