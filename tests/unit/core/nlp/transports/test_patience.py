"""How long an attempt waits, by a clock that tests turn."""

import asyncio

import pytest

from xwe.core.nlp.completion import TimeLimits
from xwe.core.nlp.transports.patience import DRAIN_S, TAIL_S, Patience, PatientWait, Watchdog
from xwe.errors import ProviderTimeoutError

LIMITS = TimeLimits(connect_s=1, first_token_s=10, idle_s=5, total_s=30)


def test_the_first_byte_is_due_from_the_start_however_often_one_asks():
    patience = Patience(LIMITS, now=100)
    assert patience.due(100) == 110
    assert patience.due(108) == 110


def test_a_stream_is_given_its_silence_anew_after_each_piece_up_to_the_total():
    patience = Patience(LIMITS, now=100)
    patience.bytes_came()
    assert patience.due(101) == 106
    assert patience.due(120) == 125
    assert patience.due(127) == 130


def test_a_whole_reply_that_has_begun_is_bounded_by_the_total_only():
    patience = Patience(LIMITS, now=100)
    patience.headers_came()
    assert patience.due(101) == 130


def test_a_total_that_is_shorter_than_the_first_byte_wins():
    patience = Patience(TimeLimits(first_token_s=10, total_s=3), now=100)
    assert patience.due(100) == 103
    assert patience.ended(103)[1] == "total"


def test_after_the_finish_little_more_is_waited_for():
    patience = Patience(LIMITS, now=100)
    patience.bytes_came()
    patience.finish_came()
    assert patience.due(101) == 101 + TAIL_S
    patience.drain()
    assert patience.due(101) == 101 + DRAIN_S


def test_the_end_of_patience_says_which_limit_it_was():
    patience = Patience(LIMITS, now=100)
    error, reason = patience.ended(110)
    assert (type(error), reason) == (ProviderTimeoutError, "idle")
    assert "10 s" in error.message
    patience.bytes_came()
    assert "5 s" in patience.ended(116)[0].message
    error, reason = patience.ended(130)
    assert "30 s" in error.message
    assert reason == "total"


async def test_a_wait_that_lasts_too_long_ends_in_a_timeout_and_leaves_no_mark_on_its_task():
    loop = asyncio.get_running_loop()
    wait = PatientWait(Patience(TimeLimits(first_token_s=0.01), loop.time()), loop)
    with pytest.raises(TimeoutError), wait:
        await asyncio.Event().wait()
    assert asyncio.current_task().cancelling() == 0


async def test_a_wait_that_was_timed_out_can_be_used_again():
    loop = asyncio.get_running_loop()
    patience = Patience(TimeLimits(first_token_s=0.01), loop.time())
    wait = PatientWait(patience, loop)
    with pytest.raises(TimeoutError), wait:
        await asyncio.Event().wait()
    patience.bytes_came()
    with wait:
        await asyncio.sleep(0)


async def test_a_patience_that_grows_within_a_wait_is_heeded():
    loop = asyncio.get_running_loop()
    patience = Patience(TimeLimits(first_token_s=0.01, total_s=1000), loop.time())
    with PatientWait(patience, loop):
        patience.headers_came()
        await asyncio.sleep(0.05)


async def test_who_is_cancelled_from_outside_at_the_moment_of_the_timeout_stays_cancelled():
    loop = asyncio.get_running_loop()
    wait = PatientWait(Patience(LIMITS, loop.time()), loop)
    waiting = asyncio.Event()

    async def wait_for_ever():
        with wait:
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await waiting.wait()
    wait.bark()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_barking_at_nobody_is_no_cancellation():
    loop = asyncio.get_running_loop()
    wait = PatientWait(Patience(LIMITS, loop.time()), loop)
    wait.bark()
    with wait:
        await asyncio.sleep(0)
    wait.bark()
    await asyncio.sleep(0)


class TurnedClock:
    """A loop's clock and timers, turned by hand."""

    def __init__(self):
        self.now = 100.0
        self.timers = []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = Timer(self, when, callback)
        self.timers.append(timer)
        return timer

    def turn_to(self, now):
        self.now = now
        for timer in [timer for timer in self.timers if timer.when <= now]:
            self.timers.remove(timer)
            timer.callback()


class Timer:
    def __init__(self, clock, when, callback):
        self.clock, self.when, self.callback = clock, when, callback

    def cancel(self):
        self.clock.timers.remove(self)


class Rex(Watchdog):
    def __init__(self, patience, clock, barks):
        super().__init__(patience, clock)
        self.barks = barks

    def bark(self):
        self.barks.append(self._loop.now)


@pytest.fixture
def clock():
    return TurnedClock()


@pytest.fixture
def barks():
    return []


@pytest.fixture
def watchdog(clock, barks):
    patience = Patience(LIMITS, clock.now)
    patience.bytes_came()
    return Rex(patience, clock, barks)


def test_a_watchdog_that_does_not_say_how_it_interrupts_cannot_be_made(clock):
    class Mute(Watchdog):
        pass

    with pytest.raises(TypeError, match="bark"):
        Mute(Patience(LIMITS, clock.now), clock)


def test_a_thousand_short_waits_set_one_timer(clock, watchdog, barks):
    set_timers = []
    call_at = clock.call_at
    clock.call_at = lambda *args: (set_timers.append(args), call_at(*args))[1]
    for _ in range(1000):
        watchdog.begin()
        clock.now += 0.001
        watchdog.end()
    assert len(set_timers) == 1
    assert barks == []


def test_the_dog_barks_when_the_silence_is_too_long_counted_from_its_begin(clock, watchdog, barks):
    watchdog.begin()
    watchdog.end()
    clock.now = 103
    watchdog.begin()
    clock.turn_to(105)  # the first timer: it looks, and sets itself anew
    assert barks == []
    clock.turn_to(108)
    assert barks == [108]


def test_a_reader_that_is_busy_elsewhere_is_not_barked_at(clock, watchdog, barks):
    watchdog.begin()
    watchdog.end()
    clock.turn_to(200)
    assert barks == []
    assert clock.timers == []


def test_a_shorter_patience_counts_from_the_next_wait_once_the_dog_was_stopped(
    clock, watchdog, barks
):
    watchdog.begin()
    watchdog.end()
    watchdog._patience.finish_came()
    watchdog.stop()
    watchdog.begin()
    clock.turn_to(100 + TAIL_S)
    assert barks == [100 + TAIL_S]


def test_a_stopped_dog_leaves_no_timer(clock, watchdog):
    watchdog.begin()
    watchdog.stop()
    watchdog.stop()
    assert clock.timers == []
