"""How long an attempt waits, by a clock that tests turn."""

import asyncio

import pytest

from xwe.core.nlp.completion import TimeLimits
from xwe.core.nlp.transports.attempt_timeout import (
    DRAIN_S,
    TAIL_S,
    AttemptTimeout,
    AttemptTimer,
    TimedWait,
)
from xwe.errors import ProviderTimeoutError

LIMITS = TimeLimits(connect_s=1, first_token_s=10, idle_s=5, total_s=30)


def test_the_first_byte_is_due_from_the_start_however_often_one_asks():
    timeout = AttemptTimeout(LIMITS, now=100)
    assert timeout.due(100) == 110
    assert timeout.due(108) == 110


def test_a_stream_is_given_its_silence_anew_after_each_piece_up_to_the_total():
    timeout = AttemptTimeout(LIMITS, now=100)
    timeout.bytes_came()
    assert timeout.due(101) == 106
    assert timeout.due(120) == 125
    assert timeout.due(127) == 130


def test_a_whole_reply_that_has_begun_is_bounded_by_the_total_only():
    timeout = AttemptTimeout(LIMITS, now=100)
    timeout.headers_came()
    assert timeout.due(101) == 130


def test_a_total_that_is_shorter_than_the_first_byte_wins():
    timeout = AttemptTimeout(TimeLimits(first_token_s=10, total_s=3), now=100)
    assert timeout.due(100) == 103
    assert timeout.ended(103)[1] == "total"


def test_after_the_finish_little_more_is_waited_for():
    timeout = AttemptTimeout(LIMITS, now=100)
    timeout.bytes_came()
    timeout.finish_came()
    assert timeout.due(101) == 101 + TAIL_S
    timeout.drain()
    assert timeout.due(101) == 101 + DRAIN_S


def test_the_end_of_patience_says_which_limit_it_was():
    timeout = AttemptTimeout(LIMITS, now=100)
    error, reason = timeout.ended(110)
    assert (type(error), reason) == (ProviderTimeoutError, "idle")
    assert "10 s" in error.message
    timeout.bytes_came()
    assert "5 s" in timeout.ended(116)[0].message
    error, reason = timeout.ended(130)
    assert "30 s" in error.message
    assert reason == "total"


async def test_a_wait_that_lasts_too_long_ends_in_a_timeout_and_leaves_no_mark_on_its_task():
    loop = asyncio.get_running_loop()
    wait = TimedWait(AttemptTimeout(TimeLimits(first_token_s=0.01), loop.time()), loop)
    with pytest.raises(TimeoutError), wait:
        await asyncio.Event().wait()
    assert asyncio.current_task().cancelling() == 0


async def test_a_wait_that_was_timed_out_can_be_used_again():
    loop = asyncio.get_running_loop()
    timeout = AttemptTimeout(TimeLimits(first_token_s=0.01), loop.time())
    wait = TimedWait(timeout, loop)
    with pytest.raises(TimeoutError), wait:
        await asyncio.Event().wait()
    timeout.bytes_came()
    with wait:
        await asyncio.sleep(0)


async def test_a_patience_that_grows_within_a_wait_is_heeded():
    loop = asyncio.get_running_loop()
    timeout = AttemptTimeout(TimeLimits(first_token_s=0.01, total_s=1000), loop.time())
    with TimedWait(timeout, loop):
        timeout.headers_came()
        await asyncio.sleep(0.05)


async def test_who_is_cancelled_from_outside_at_the_moment_of_the_timeout_stays_cancelled():
    loop = asyncio.get_running_loop()
    wait = TimedWait(AttemptTimeout(LIMITS, loop.time()), loop)
    waiting = asyncio.Event()

    async def wait_for_ever():
        with wait:
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await waiting.wait()
    wait.on_timeout()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_outside_a_wait_cancels_nothing():
    loop = asyncio.get_running_loop()
    wait = TimedWait(AttemptTimeout(LIMITS, loop.time()), loop)
    wait.on_timeout()
    with wait:
        await asyncio.sleep(0)
    wait.on_timeout()
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


class NotingTimer(AttemptTimer):
    def __init__(self, timeout, clock, timeouts):
        super().__init__(timeout, clock)
        self.timeouts = timeouts

    def on_timeout(self):
        self.timeouts.append(self._loop.now)


@pytest.fixture
def clock():
    return TurnedClock()


@pytest.fixture
def timeouts():
    return []


@pytest.fixture
def timer(clock, timeouts):
    timeout = AttemptTimeout(LIMITS, clock.now)
    timeout.bytes_came()
    return NotingTimer(timeout, clock, timeouts)


def test_a_timer_without_on_timeout_cannot_be_made(clock):
    class Mute(AttemptTimer):
        pass

    with pytest.raises(TypeError, match="on_timeout"):
        Mute(AttemptTimeout(LIMITS, clock.now), clock)


def test_a_thousand_short_waits_set_one_timer(clock, timer, timeouts):
    set_timers = []
    call_at = clock.call_at
    clock.call_at = lambda *args: (set_timers.append(args), call_at(*args))[1]
    for _ in range(1000):
        timer.begin()
        clock.now += 0.001
        timer.end()
    assert len(set_timers) == 1
    assert timeouts == []


def test_a_wait_times_out_counted_from_its_own_beginning(clock, timer, timeouts):
    timer.begin()
    timer.end()
    clock.now = 103
    timer.begin()
    clock.turn_to(105)  # the first timer checks the clock and sets itself again
    assert timeouts == []
    clock.turn_to(108)
    assert timeouts == [108]


def test_a_reader_that_is_busy_elsewhere_does_not_time_out(clock, timer, timeouts):
    timer.begin()
    timer.end()
    clock.turn_to(200)
    assert timeouts == []
    assert clock.timers == []


def test_a_shorter_timeout_holds_from_the_next_wait_once_the_timer_was_stopped(
    clock, timer, timeouts
):
    timer.begin()
    timer.end()
    timer._timeout.finish_came()
    timer.stop()
    timer.begin()
    clock.turn_to(100 + TAIL_S)
    assert timeouts == [100 + TAIL_S]


def test_a_stopped_timer_is_gone(clock, timer):
    timer.begin()
    timer.stop()
    timer.stop()
    assert clock.timers == []
