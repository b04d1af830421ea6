"""Answers that live on the loop: started, joined, stopped, left alone, and forgotten."""

import asyncio
import logging
import threading
import time
import weakref

import pytest

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import (
    DatabaseUnavailableError,
    DrainingError,
    LimitExceededError,
    ProviderUnreachableError,
    SaturatedError,
    UnknownStreamError,
)
from xwe.streams import ui_messages
from xwe.streams.answer import COMPLETE, SHUTDOWN, STOPPED, Answer, Outcome
from xwe.streams.answers import AnswerLimits, Answers

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


class Bytes:
    """An encoder whose items are events already."""

    def __init__(self):
        self.text = ""

    def open(self):
        return []

    def feed(self, item):
        self.text += item.decode()
        return [item]

    def close(self, outcome):
        return ui_messages.closing(outcome)


def begin(answers, source, answer_id="s", owner="me", before_end=None):
    with answers.reserve(owner, answer_id) as answer:
        return answer.start(source.events(), Bytes(), before_end)


def begin_and_join(answers, source):
    """Both in one step of the loop, so that no time passes in which nobody reads."""

    async def on_the_loop():
        answer = begin(answers, source)
        return answer, answer.join()

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
    answers = Answers()
    answer = begin(answers, source)
    answer.join().close()
    source.say(b"1", b"2")
    source.end()
    source.wait_until_closed()
    assert read_to_end(answers.find("s", "me").join()) == [b"1", b"2"]


@pytest.mark.parametrize(("answer_id", "owner"), [("s", "you"), ("other", "me")])
def test_a_foreign_answer_is_the_same_as_none(source, answer_id, owner):
    answers = Answers()
    reader = begin(answers, source).join()
    with pytest.raises(UnknownStreamError) as refusal:
        answers.find(answer_id, owner)
    assert refusal.value.message == UnknownStreamError().message
    source.end()
    assert read_to_end(reader) == []


def test_stop_keeps_what_came_and_closes_the_source(source):
    answers = Answers()
    reader = begin(answers, source).join()
    source.say(b"1")
    assert reader.drain(SOON_S) == [b"1"]
    answers.find("s", "me").end()
    answers.find("s", "me").end()
    assert read_to_end(reader) == [ui_messages.ABORT]
    source.wait_until_closed()
    assert answers.running == 0


def test_stop_is_not_lost_when_it_comes_before_the_first_step(source):
    """Both are handed to the loop while it is busy with something else."""
    answers = Answers()

    async def begin_and_stop():
        answer = begin(answers, source)
        answers.find("s", "me").end()
        return answer.join()

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

    answers = Answers()
    with answers.reserve("me", "s") as answer:
        reader = answer.start(slow_to_close(), Bytes()).join()
    get_loop_thread().run(cleaning.wait(), SOON_S)
    answers.find("s", "me").end()
    assert read_to_end(reader) == [b"1", ui_messages.ABORT]


def test_what_a_source_did_not_foresee_is_logged_and_told(source, caplog):
    answer = begin(Answers(), source)
    reader = answer.join()
    with caplog.at_level(logging.ERROR):
        source.say(b"1", ZeroDivisionError("a secret"))
        one, last = read_to_end(reader)
    assert one == b"1"
    assert b'"type":"error"' in last
    assert b"secret" not in last
    assert "broke" in caplog.text
    assert answer.outcome.kind == "failed"


def test_an_error_of_the_source_is_the_outcome(source):
    answer, error = begin(Answers(), source), ProviderUnreachableError()
    reader = answer.join()
    source.say(error)
    assert read_to_end(reader) == [ui_messages.error(error)]
    assert answer.outcome == Outcome("failed", error)
    assert error.__traceback__ is None, "its frames would keep the answer alive"


def test_no_reader_sees_the_end_before_the_hook_is_done(source):
    seen, may_end = [], asyncio.Event()

    async def store(outcome):
        seen.append((outcome, answer.text, answer.is_ended))
        await may_end.wait()

    answer = begin(Answers(), source, before_end=store)
    reader = answer.join()
    source.say(b"1", b"2")
    source.end()
    source.wait_until_closed()
    assert not answer.wait(0.05)
    assert answer.last_number == 2
    get_loop_thread().loop.call_soon_threadsafe(may_end.set)
    assert read_to_end(reader) == [b"1", b"2"]
    assert seen == [(COMPLETE, "12", False)]
    assert answer.outcome == COMPLETE
    assert answer.text == "", "what is over is not kept twice"


def test_a_stop_never_hits_the_hook(source):
    begun, may_end, done = asyncio.Event(), asyncio.Event(), []

    async def store(outcome):
        begun.set()
        await may_end.wait()
        done.append(outcome)

    answer = begin(Answers(), source, before_end=store)
    reader = answer.join()
    source.end()
    get_loop_thread().run(begun.wait(), SOON_S)
    answer.end()
    pass_the_loop()
    get_loop_thread().loop.call_soon_threadsafe(may_end.set)
    assert read_to_end(reader) == []
    assert done == [COMPLETE]


@pytest.mark.parametrize("outcome", [COMPLETE, STOPPED, SHUTDOWN], ids=lambda one: one.kind)
def test_a_hook_that_fails_makes_a_complete_answer_a_failed_one(source, outcome):
    error = DatabaseUnavailableError()

    async def store(outcome):
        raise error

    answer = begin(Answers(), source, before_end=store)
    reader = answer.join()
    if outcome is COMPLETE:
        source.end()
        assert read_to_end(reader) == [ui_messages.error(error)]
    else:
        answer.end(outcome)
        assert read_to_end(reader) == ui_messages.closing(outcome)


def test_an_ended_answer_is_freed_without_the_garbage_collector(source):
    answer = begin(Answers(AnswerLimits(keep_s=0.0)), source)
    gone, reader = weakref.ref(answer), answer.join()
    source.say(b"1", ProviderUnreachableError())
    assert len(read_to_end(reader)) == 2
    pass_the_loop()
    del answer, reader
    assert gone() is None


def test_an_answer_that_is_bound_to_its_reader_ends_with_it_and_is_forgotten(source):
    answers = Answers()
    with answers.reserve("me", "s", bound_to_reader=True) as answer:
        reader = answer.join()
        answer.start(source.events(), Bytes())
    source.say(b"1")
    assert reader.drain(SOON_S) == [b"1"]
    reader.close()
    source.wait_until_closed()
    assert answer.wait(SOON_S)
    assert answer.outcome == STOPPED
    pass_the_loop()
    with pytest.raises(UnknownStreamError):
        answers.find("s", "me")


def test_an_answer_that_is_over_can_be_read_like_any_other():
    answer = Answer.ended("s", "me", [b"1", b"2"])
    assert answer.is_ended
    assert read_to_end(answer.join(1)) == [b"2"]
    assert answer.wait(0)


def test_so_many_run_and_the_next_is_refused(source):
    answers = Answers(AnswerLimits(max_running=1))
    reader = begin(answers, source).join()
    with pytest.raises(SaturatedError):
        begin(answers, Source(), "next")
    source.end()
    assert read_to_end(reader) == []
    pass_the_loop()
    again = Source()
    reader = begin(answers, again, "again").join()
    again.end()
    assert read_to_end(reader) == []


def test_a_slot_counts_until_it_is_given_back(source):
    answers = Answers(AnswerLimits(max_running=1))
    with answers.reserve("me", "s"), pytest.raises(SaturatedError):
        answers.reserve("me", "next")
    assert answers.running == 0
    with answers.reserve("me", "s") as answer:
        answer.start(source.events(), Bytes())
    assert answers.running == 1
    assert answers.find("s", "me") is answer
    reader = answer.join()
    source.end()
    assert read_to_end(reader) == []


def test_a_slot_is_one_of_its_owners(source):
    answers = Answers(AnswerLimits(max_running_each=1))
    with answers.reserve("me", "s"):
        with pytest.raises(LimitExceededError):
            answers.reserve("me", "next")
        with answers.reserve("you", "other"):
            assert answers.running == 2


def test_a_slot_that_was_had_before_the_end_of_the_process_is_shut_down(source):
    answers = Answers()
    with answers.reserve("me", "s") as answer:
        answers.shut_down()
        reader = answer.start(source.events(), Bytes()).join()
    assert read_to_end(reader) == [ui_messages.SHUTDOWN]


def test_finished_answers_are_forgotten_after_a_while(source):
    answers = Answers(AnswerLimits(keep_s=0.05))
    reader = begin(answers, source).join()
    source.end()
    assert read_to_end(reader) == []

    async def forgotten():
        while True:
            try:
                answers.find("s", "me")
            except UnknownStreamError:
                return
            await asyncio.sleep(0.01)

    get_loop_thread().run(forgotten(), SOON_S)


def test_the_oldest_finished_answers_go_when_memory_is_short():
    answers = Answers(AnswerLimits(max_kept_bytes=2500))
    for number in range(4):
        source = Source()
        reader = begin(answers, source, f"s{number}").join()
        source.say(b"x" * 1000)
        source.end()
        assert read_to_end(reader) == [b"x" * 1000]
        pass_the_loop()
    for gone in ("s0", "s1"):
        with pytest.raises(UnknownStreamError):
            answers.find(gone, "me")
    for kept in ("s2", "s3"):
        assert answers.find(kept, "me").is_ended
    assert answers._ended_bytes <= 2500


def test_an_answer_that_nobody_reads_is_cancelled_after_a_while(source):
    answers = Answers(AnswerLimits(on_disconnect="cancel", alone_s=0.05))
    _, reader = begin_and_join(answers, source)
    source.say(b"1")
    assert reader.drain(SOON_S) == [b"1"]  # a source that has not begun has nothing to close
    reader.close()
    source.wait_until_closed()
    assert read_to_end(answers.find("s", "me").join()) == [b"1", ui_messages.ABORT]


def test_a_reader_that_comes_back_in_time_keeps_an_answer_alive(source):
    alone_s = 0.2
    answers = Answers(AnswerLimits(on_disconnect="cancel", alone_s=alone_s))
    answer, reader = begin_and_join(answers, source)
    standing, may_go_on = threading.Event(), threading.Event()

    def leave_and_stand_still():
        reader.close()  # the time begins, and cannot be over before the loop goes on
        standing.set()
        may_go_on.wait(SOON_S)
        time.sleep(alone_s)  # so that the time is over before the loop hears of the return

    get_loop_thread().loop.call_soon_threadsafe(leave_and_stand_still)
    assert standing.wait(SOON_S)
    reader_again = answer.join()
    may_go_on.set()
    pass_the_loop()
    source.say(b"still here")
    assert reader_again.drain(SOON_S) == [b"still here"]
    reader_again.close()
    source.wait_until_closed()


def test_a_leaver_that_is_overtaken_by_a_newcomer_does_not_end_the_answer(source):
    """What counts is who reads when the loop looks, not whose news comes last."""
    answers = Answers(AnswerLimits(on_disconnect="cancel", alone_s=0.01))
    answer, first = begin_and_join(answers, source)
    second = answer.join()
    first.close()
    answer._readers_changed()  # the first one's call, late
    get_loop_thread().run(asyncio.sleep(0.1))
    assert not answer.is_ended
    source.end()
    assert read_to_end(second) == []


def test_a_drain_lets_answers_finish_and_takes_no_new_ones(source):
    answers = Answers()
    reader = begin(answers, source).join()
    answers.drain(60)
    with pytest.raises(DrainingError):
        begin(answers, Source(), "late")
    source.say(b"1")
    source.end()
    assert read_to_end(reader) == [b"1"]


def test_what_still_runs_when_the_drain_is_over_says_so(source):
    answers = Answers()
    reader = begin(answers, source).join()
    source.say(b"1")
    assert reader.drain(SOON_S) == [b"1"]
    answers.drain(0.01)
    assert read_to_end(reader) == [ui_messages.SHUTDOWN]
    source.wait_until_closed()
