"""The rate limiter, on a clock of its own: hardly a test here waits for real time to pass."""

import asyncio
import gc
import math
import threading
import time

import pytest

from xwe.core.concurrency import rate_limit
from xwe.core.concurrency.rate_limit import RateLimiter


class FakeClock:
    """A thread's view: sleeping is what makes the time pass."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, _woken, seconds):
        self.now += seconds


def blocking_limiter(*args):
    clock = FakeClock()
    return RateLimiter(*args, clock=clock, sleep=clock.sleep), clock


def test_the_first_burst_passes_at_once_and_the_next_call_a_period_later():
    limiter, clock = blocking_limiter(3, 10.0)
    times = []
    for _ in range(7):
        assert limiter.acquire_sync()
        times.append(clock.now - 1000.0)
    assert times == [0, 0, 0, 10, 10, 10, 20]


def test_windows_slide_and_do_not_begin_at_full_periods():
    limiter, clock = blocking_limiter(2, 10.0)
    limiter.acquire_sync()
    clock.now += 9
    limiter.acquire_sync()
    clock.now += 2  # the first call left the window, the second is still in it
    times = []
    for _ in range(3):
        limiter.acquire_sync()
        times.append(clock.now - 1000.0)
    assert times == [11, 19, 21]


def test_a_burst_below_the_calls_is_a_stricter_limit():
    limiter, clock = blocking_limiter(10, 10.0, 2)
    times = []
    for _ in range(4):
        limiter.acquire_sync()
        times.append(clock.now - 1000.0)
    assert times == [0, 0, 10, 10]


def test_a_burst_above_the_calls_is_saved_up_in_a_pause_and_does_not_raise_the_rate():
    limiter, clock = blocking_limiter(2, 10.0, 6)
    for _ in range(100):
        limiter.acquire_sync()
    # Six at once, then no more than one in five seconds.
    assert clock.now - 1000.0 == pytest.approx((100 - 6) * 5)
    clock.now += 1000
    paused_until = clock.now
    for _ in range(6):
        limiter.acquire_sync()
    assert clock.now == paused_until


def test_weights_count_for_as_many_calls():
    limiter, clock = blocking_limiter(100, 60.0)
    limiter.acquire_sync(weight=70)
    limiter.acquire_sync(weight=30)
    assert clock.now == 1000.0
    limiter.acquire_sync(weight=1)
    assert clock.now == 1060.0


@pytest.mark.parametrize("weight", [0, -1, 101])
def test_a_weight_that_could_never_pass_is_refused(weight):
    limiter, _ = blocking_limiter(100, 60.0)
    with pytest.raises(ValueError, match="weight"):
        limiter.acquire_sync(weight=weight)


@pytest.mark.parametrize(
    "args", [(0, 1.0), (1, 0.0), (1, -1.0), (1, math.inf), (1, math.nan), (1, 1.0, 0)]
)
def test_limits_that_make_no_sense_are_refused(args):
    with pytest.raises(ValueError, match="at least 1"):
        RateLimiter(*args)


def test_a_timeout_that_cannot_be_met_is_refused_at_once_and_takes_no_place():
    limiter, clock = blocking_limiter(1, 10.0)
    assert limiter.acquire_sync()
    assert not limiter.acquire_sync(timeout=9.9)
    assert not limiter.acquire_sync(timeout=0)
    assert not limiter.acquire_sync(timeout=-1)
    assert clock.now == 1000.0
    assert limiter.acquire_sync(timeout=10)
    assert clock.now == 1010.0


def test_a_timeout_counts_those_who_wait_already(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(2, 10.0, clock=loop.time)
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(6)]
        await asyncio.sleep(0)
        # Two have passed, two will after 10 s, two after 20 s, the next one after 30 s.
        assert not await limiter.acquire(timeout=29)
        assert loop.time() == 1000.0
        assert await limiter.acquire(timeout=30)
        assert loop.time() == 1030.0
        assert all(await asyncio.gather(*waiting))

    in_virtual_time(main())


def test_a_timeout_is_judged_anew_when_those_ahead_have_gone(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(1, 10.0, clock=loop.time)
        await limiter.acquire()
        ahead = [asyncio.create_task(limiter.acquire()) for _ in range(5)]
        await asyncio.sleep(0)
        assert not await limiter.acquire(timeout=10)
        for task in ahead:
            task.cancel()
        await asyncio.wait(ahead)
        assert await limiter.acquire(timeout=10)
        assert loop.time() == 1010.0

    in_virtual_time(main())


def test_those_who_wait_pass_in_the_order_in_which_they_came(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(2, 10.0, clock=loop.time)
        passed = []

        async def call(number, weight):
            await limiter.acquire(weight=weight)
            passed.append((number, loop.time() - 1000.0))

        # A light one must not overtake a heavy one, or the heavy one would starve.
        await asyncio.gather(*(call(number, weight) for number, weight in enumerate([1, 2, 1, 1])))
        assert passed == [(0, 0), (1, 10), (2, 20), (3, 20)]

    in_virtual_time(main())


def test_each_one_in_the_line_passes_as_soon_as_its_turn_comes(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(1, 0.1, clock=loop.time)
        times = []

        async def call():
            await limiter.acquire()
            times.append(round(loop.time() - 1000.0, 6))

        await asyncio.gather(*(call() for _ in range(5)))
        assert times == [0, 0.1, 0.2, 0.3, 0.4]

    in_virtual_time(main())


def test_a_timeout_counts_the_lateness_of_those_who_passed(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()

        async def sleep_late(woken, seconds):
            await rate_limit._sleep_on_loop(woken, seconds + 5)

        limiter = RateLimiter(1, 10.0, clock=loop.time, sleep_async=sleep_late)
        await limiter.acquire()
        first = asyncio.create_task(limiter.acquire())
        second = asyncio.create_task(limiter.acquire(timeout=1000))
        assert await first
        assert loop.time() == 1015.0
        # The second one's turn comes at 1025, ours at 1035.
        assert not await limiter.acquire(timeout=19.9)
        assert loop.time() == 1015.0
        assert await second

    in_virtual_time(main())


def test_who_waits_in_vain_after_all_leaves_no_gap_behind(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        lateness = [1.5]

        async def sleep(woken, seconds):
            await rate_limit._sleep_on_loop(woken, seconds + (lateness.pop() if lateness else 0))

        limiter = RateLimiter(1, 10.0, clock=loop.time, sleep_async=sleep)
        await limiter.acquire()
        late, in_vain, behind = (
            asyncio.create_task(limiter.acquire(timeout)) for timeout in (None, 20, None)
        )
        assert await late
        assert loop.time() == 1011.5
        assert not await in_vain
        assert loop.time() == 1020.0
        assert await behind
        assert loop.time() == 1021.5

    in_virtual_time(main())


def test_a_cancelled_waiter_gives_its_turn_back_and_those_behind_move_up(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(1, 10.0, clock=loop.time)
        await limiter.acquire()
        first, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        assert loop.time() == 1010.0

    in_virtual_time(main())


def test_a_turn_that_came_in_the_moment_of_the_cancellation_is_given_back(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(1, 10.0, clock=loop.time)
        await limiter.acquire()
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        (waiter,) = limiter._line
        limiter.reset()
        assert waiter.passed_at == 1000.0, "it has its turn, and has not been told yet"
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await limiter.acquire(timeout=0)
        assert not await limiter.acquire(timeout=0)

    in_virtual_time(main())


@pytest.mark.parametrize(
    ("late_by", "times"), [(0, [0, 0, 0, 10, 20]), (5, [5, 5, 5, 15, 25])], ids=["at once", "later"]
)
def test_a_turn_given_back_is_saved_up_again_but_no_more_than_it_would_have_been(late_by, times):
    """A bucket of three that had stayed full in the meantime would have run over."""
    limiter, clock = blocking_limiter(1, 10.0, 3)

    async def main():
        for _ in range(3):
            limiter.acquire_sync()
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        limiter.reset()  # the waiter's turn comes at 1000, and it is not told yet
        clock.now += late_by
        passed = [_time_of_pass()]
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return passed + [_time_of_pass() for _ in range(4)]

    def _time_of_pass():
        limiter.acquire_sync()
        return clock.now - 1000.0

    assert asyncio.run(main()) == times


def test_a_heavy_first_one_that_gives_up_lets_the_light_ones_behind_it_go_at_once(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(10, 10.0, clock=loop.time)
        await limiter.acquire(weight=5)
        heavy = asyncio.create_task(limiter.acquire(weight=10))
        light = asyncio.create_task(limiter.acquire(weight=5))
        await asyncio.sleep(0)
        heavy.cancel()
        assert await light
        assert loop.time() == 1000.0

    in_virtual_time(main())


def test_a_thread_that_is_interrupted_gives_its_turn_back():
    clock = FakeClock()

    def interrupted(_woken, _seconds):
        raise KeyboardInterrupt

    limiter = RateLimiter(1, 10.0, clock=clock, sleep=interrupted)
    limiter.acquire_sync()
    with pytest.raises(KeyboardInterrupt):
        limiter.acquire_sync()
    clock.now += 10
    assert limiter.acquire_sync(timeout=0)


def test_reset_forgets_what_has_passed():
    limiter, clock = blocking_limiter(2, 10.0, 5)
    for _ in range(5):
        limiter.acquire_sync()
    assert not limiter.acquire_sync(timeout=0)
    limiter.reset()
    for _ in range(5):
        assert limiter.acquire_sync(timeout=0)
    assert clock.now == 1000.0


def test_the_context_managers_wait_for_a_turn(in_virtual_time):
    async def main():
        loop = asyncio.get_running_loop()
        limiter = RateLimiter(1, 10.0, clock=loop.time)
        async with limiter:
            assert loop.time() == 1000.0
        async with limiter as entered:
            assert entered is limiter
        return loop.time()

    assert in_virtual_time(main()) == 1010.0
    limiter, clock = blocking_limiter(1, 10.0)
    with limiter:
        assert clock.now == 1000.0
    with limiter as entered:
        assert entered is limiter
    assert clock.now == 1010.0


def test_the_log_is_bounded_by_the_burst():
    limiter, _ = blocking_limiter(5, 1.0)
    for _ in range(1000):
        limiter.acquire_sync()
    assert len(limiter._window._log) <= 5
    assert not limiter._line


def test_a_loop_that_died_in_the_line_does_not_hold_up_those_behind():
    limiter, clock = blocking_limiter(1, 10.0)
    limiter.acquire_sync()
    dead = asyncio.new_event_loop()
    in_line = dead.create_task(limiter.acquire())
    dead.call_soon(dead.stop)
    dead.run_forever()
    assert len(limiter._line) == 1, "it waits, and its loop will not turn again"
    assert limiter.acquire_sync()
    # It looked when the turn of the dead one was overdue, let that pass, and went a period later.
    assert clock.now == 1000.0 + 10.0 + rate_limit.STALLED_AFTER_S + 10.0
    in_line.cancel()
    with pytest.raises(asyncio.CancelledError):
        dead.run_until_complete(in_line)
    dead.close()


def test_a_waiter_whose_loop_was_closed_is_passed_by():
    limiter, clock = blocking_limiter(1, 10.0)
    limiter.acquire_sync()
    dead = asyncio.new_event_loop()
    coro = limiter.acquire()
    in_line = dead.create_task(coro)
    dead.call_soon(dead.stop)
    dead.run_forever()
    dead.close()
    assert limiter.acquire_sync()
    assert clock.now >= 1010.0
    in_line._log_destroy_pending = False  # it is abandoned on purpose
    coro.close()
    del in_line, coro
    gc.collect()
    assert not limiter._line


def test_waking_does_not_spin_while_the_line_stands_still(in_virtual_time):
    """A waiter looks when it is told to or when a turn is due, and not in between."""
    looks = []

    async def main():
        loop = asyncio.get_running_loop()

        async def sleep(woken, seconds):
            looks.append(loop.time())
            await rate_limit._sleep_on_loop(woken, seconds)

        limiter = RateLimiter(1, 1.0, clock=loop.time, sleep_async=sleep)
        await asyncio.gather(*(limiter.acquire() for _ in range(20)))

    in_virtual_time(main())
    # 19 wait; each one looks when it comes and when it is first, and now and then in between.
    assert len(looks) <= 19 * 10


def test_real_time_is_kept_to(monkeypatch):
    limiter = RateLimiter(1, 0.02)
    begun = time.monotonic()
    with limiter:
        pass
    with limiter:
        assert time.monotonic() - begun >= 0.02 - 0.002
    woken = threading.Event()
    woken.set()
    rate_limit._sleep_in_thread(woken, 60)  # a wake-up ends the sleep
