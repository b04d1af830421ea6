"""The two rules of the rate limiter hold, whatever comes: no window too full, no rate too high."""

import asyncio
import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

from hypothesis import example, given, settings
from hypothesis import strategies as st

from xwe.core.concurrency import rate_limit
from xwe.core.concurrency.rate_limit import RateLimiter

ROUNDING = 1e-9


def overfull_window(passes, limiter):
    """The first window with too much in it, of `passes` as (time, weight); None when all is well.

    Windows are half open, and any of them may begin at a pass.
    """
    for start, _ in passes:
        end = start + limiter.period - ROUNDING
        if sum(weight for at, weight in passes if start <= at < end) > limiter.burst:
            return start, end
    return None


def overfast_stretch(passes, limiter):
    """The first stretch that let through more than a burst and what the time has refilled."""
    for number, (start, _) in enumerate(passes):
        held = 0
        for at, weight in passes[number:]:
            held += weight
            refilled = (at - start) * limiter.calls / limiter.period
            if held > max(limiter.burst, limiter.calls) + refilled + ROUNDING:
                return start, at
    return None


limits = st.tuples(st.integers(1, 6), st.sampled_from([1.0, 7.0, 0.1]), st.integers(1, 9))
clients = st.lists(
    st.fixed_dictionaries(
        {
            "comes_at": st.floats(0, 20),
            "weight": st.integers(1, 9),
            "timeout": st.none() | st.floats(0, 10),
            "leaves_after": st.none() | st.floats(0, 5),
        }
    ),
    min_size=1,
    max_size=25,
)
LATEST_WAKE_S = 2.0


async def play(limit, clients, wakes_late):
    """Let all clients come, wait, leave and pass; the passes in their order, and the limiter."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    passes = []
    lateness = itertools.cycle(wakes_late)

    async def sleep_late(woken, seconds):
        # A busy machine: the one who minds the clock for all wakes late.
        await rate_limit._sleep_on_loop(woken, seconds + next(lateness))

    async def client(comes_at, weight, timeout, leaves_after):  # noqa: ASYNC109 - the limiter's own
        await asyncio.sleep(comes_at)
        came, fitting = loop.time(), min(weight, limiter.burst)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(leaves_after):
                if await limiter.acquire(timeout, fitting):
                    passes.append((loop.time() - begin, fitting))
                else:
                    assert loop.time() <= came + timeout + LATEST_WAKE_S

    limiter = RateLimiter(*limit, clock=loop.time, sleep_async=sleep_late)
    await asyncio.gather(*(client(**values) for values in clients))
    assert not limiter._line
    return passes, limiter


@settings(max_examples=150, deadline=None)
@given(
    limit=limits,
    clients=clients,
    wakes_late=st.lists(st.floats(0, LATEST_WAKE_S), min_size=1, max_size=5),
)
def test_no_window_ever_holds_more_than_the_burst(in_virtual_time, limit, clients, wakes_late):
    """Whoever comes, waits, gives up or wakes late."""
    passes, limiter = in_virtual_time(play(limit, clients, wakes_late))
    assert overfull_window(passes, limiter) is None
    assert overfast_stretch(passes, limiter) is None


patient_clients = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.none() | st.integers(0, 40)),
    min_size=1,
    max_size=25,
)


def expected_passes(limiter, arrivals):
    """One after the other: when each could pass at the earliest, and whether that is in time."""
    passes = []
    for came, weight, patience in arrivals:
        at = max([came, *(at for at, _ in passes)])
        while overfull_window([*passes, (at, weight)], limiter) or (
            limiter.burst > limiter.calls and overfast_stretch([*passes, (at, weight)], limiter)
        ):
            at += 1
        if patience is None or at - came <= patience:
            passes.append((at, weight))
    return passes


@settings(max_examples=100, deadline=None)
@given(
    limit=st.tuples(st.integers(1, 4), st.sampled_from([12.0, 24.0]), st.integers(1, 6)),
    clients=patient_clients,
)
@example(limit=(1, 12.0, 1), clients=[(0, 1, None), (0, 1, 0), (12, 1, None), (12, 1, 1)])
def test_who_cannot_pass_in_time_is_refused_at_once_and_all_others_pass(
    in_virtual_time, limit, clients
):
    """All times are whole, so that the expectation can be found by trying."""

    async def main():
        loop = asyncio.get_running_loop()
        begin = loop.time()
        limiter = RateLimiter(*limit, clock=loop.time)
        arrivals, passes = [], []

        async def client(comes_at, weight, patience):
            await asyncio.sleep(comes_at)
            arrivals.append((comes_at, weight, patience))
            if await limiter.acquire(patience, weight):
                passes.append((round(loop.time() - begin), weight))
            else:
                assert loop.time() - begin == comes_at

        await asyncio.gather(
            *(client(at, min(weight, limiter.burst), s) for at, weight, s in clients)
        )
        assert passes == expected_passes(limiter, arrivals)

    in_virtual_time(main())


@settings(max_examples=100, deadline=None)
@given(limit=limits, steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9)), max_size=60))
def test_an_unhurried_thread_passes_as_early_as_the_two_rules_allow(limit, steps):
    now = 1000.0

    def sleep(_woken, seconds):
        nonlocal now
        now += seconds

    limiter = RateLimiter(*limit, clock=lambda: now, sleep=sleep)
    passes = []
    for pause_s, weight in steps:
        now += pause_s
        came, fitting = now, min(weight, limiter.burst)
        assert limiter.acquire_sync(weight=fitting)
        if now > came:  # it had to wait: a moment earlier would have broken a rule
            hurried = [*passes, (now - 1e-6, fitting)]
            is_too_fast = limiter.burst > limiter.calls and overfast_stretch(hurried, limiter)
            assert overfull_window(hurried, limiter) or is_too_fast
        passes.append((now, fitting))
    assert overfull_window(passes, limiter) is None
    assert overfast_stretch(passes, limiter) is None


def test_threads_and_loops_share_one_limit():
    limiter = RateLimiter(8, 0.1)
    passes = []
    add = limiter._window.add

    def add_and_note(weight, at):
        add(weight, at)
        passes.append((at, weight))

    limiter._window.add = add_and_note

    def by_thread():
        for _ in range(6):
            assert limiter.acquire_sync()

    def by_loop():
        async def main():
            return await asyncio.gather(*(limiter.acquire() for _ in range(6)))

        assert all(asyncio.run(main()))

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(job) for job in (by_thread, by_loop) * 3]
        for job in jobs:
            job.result()
    assert len(passes) == 36
    assert overfull_window(passes, limiter) is None
