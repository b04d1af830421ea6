"""Gathering with a limit: order, isolation, laziness, and nothing left behind."""

import asyncio
import contextvars
import gc
import inspect
import itertools

import pytest

from xwe.core.concurrency.gather import gather_with_limit


async def echo(value):
    await asyncio.sleep(0)
    return value


async def fail(message="broken"):
    await asyncio.sleep(0)
    raise LookupError(message)


class Blocked:
    """Coroutines that wait for a signal and note how they end."""

    def __init__(self):
        self.release = asyncio.Event()
        self.started = 0
        self.alive = 0
        self.most_alive = 0
        self.cleaned_up = 0
        self._changed = asyncio.Event()

    async def until_alive(self, count):
        while self.alive < count:
            self._changed.clear()
            await self._changed.wait()

    async def __call__(self):
        self.started += 1
        self.alive += 1
        self.most_alive = max(self.most_alive, self.alive)
        self._changed.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a clean-up that takes a turn of the loop
            self.cleaned_up += 1
            raise
        finally:
            self.alive -= 1


async def test_results_keep_the_order_of_the_coroutines_and_not_of_their_ends():
    first_may_end = asyncio.Event()

    async def first():
        await first_may_end.wait()
        return "first"

    async def second():
        first_may_end.set()
        return "second"

    assert await gather_with_limit([first(), second()], limit=2) == ["first", "second"]


async def test_no_more_than_the_limit_run_at_once():
    work = Blocked()
    coros = (work() for _ in range(20))
    gathering = asyncio.create_task(gather_with_limit(coros, limit=3))
    await work.until_alive(3)
    for _ in range(10):
        await asyncio.sleep(0)
    assert work.started == 3
    work.release.set()
    assert len(await gathering) == 20
    assert (work.started, work.most_alive) == (20, 3)


async def test_one_failure_stands_in_its_place_and_takes_no_neighbour_down():
    results = await gather_with_limit([echo(1), fail(), echo(3)], limit=2)
    assert results[0::2] == [1, 3]
    assert isinstance(results[1], LookupError)


async def test_one_that_is_cancelled_stands_in_its_place_too():
    async def cancelled():
        raise asyncio.CancelledError

    results = await gather_with_limit([cancelled(), echo(2)], limit=1)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] == 2


async def test_the_first_error_is_raised_after_the_others_have_ended():
    work = Blocked()
    with pytest.raises(LookupError, match="broken"):
        await gather_with_limit([work(), work(), fail(), echo(1)], 3, return_exceptions=False)
    assert (work.started, work.cleaned_up) == (2, 2)


async def test_without_errors_the_strict_form_answers_as_well():
    assert await gather_with_limit([echo(1), echo(2)], return_exceptions=False) == [1, 2]


async def test_a_hundred_thousand_coroutines_are_made_only_as_places_fall_free():
    made = ended = most = 0

    async def work(number):
        nonlocal ended
        if number % 100 == 0:
            await asyncio.sleep(0)
        ended += 1
        return number

    def source():
        nonlocal made, most
        for number in range(100_000):
            made += 1
            most = max(most, made - ended)
            yield work(number)

    results = await gather_with_limit(source(), limit=8)
    assert results == list(range(100_000))
    assert most <= 8


async def test_cancelling_ends_what_runs_and_closes_what_was_never_started():
    work = Blocked()
    coros = [work() for _ in range(10)]
    gathering = asyncio.create_task(gather_with_limit(coros, limit=2))
    await work.until_alive(2)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert (work.started, work.cleaned_up) == (2, 2)
    assert {inspect.getcoroutinestate(coro) for coro in coros} == {inspect.CORO_CLOSED}
    assert len(asyncio.all_tasks()) == 1
    del coros
    gc.collect()  # a coroutine that was never awaited would warn here, and warnings are errors


async def test_cancelling_closes_a_generator_and_makes_no_more_coroutines():
    work = Blocked()
    closed = []

    def source():
        try:
            while True:
                yield work()
        finally:
            closed.append(work.started)

    gathering = asyncio.create_task(gather_with_limit(source(), limit=2))
    await work.until_alive(2)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert closed == [2]


async def test_cancelling_does_not_read_an_endless_iterator_to_its_end():
    work = Blocked()
    gathering = asyncio.create_task(
        gather_with_limit(map(lambda _: work(), itertools.count()), 2)  # noqa: C417 - a lazy source that is no generator
    )
    await work.until_alive(2)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert work.started == work.cleaned_up == 2


async def test_a_second_cancellation_still_leaves_nothing_running():
    work = Blocked()
    gathering = asyncio.create_task(gather_with_limit([work(), work()], limit=2))
    await work.until_alive(2)
    gathering.cancel()
    await asyncio.sleep(0)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert work.cleaned_up == 2
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancellation_while_the_others_are_being_stopped_is_not_lost():
    may_end = asyncio.Event()

    async def stubborn():
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    gathering = asyncio.create_task(
        gather_with_limit([stubborn(), fail()], 2, return_exceptions=False)
    )
    for _ in range(10):
        await asyncio.sleep(0)
    gathering.cancel()
    await asyncio.sleep(0)
    assert not gathering.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await gathering


async def test_an_error_of_the_source_ends_the_gathering():
    work = Blocked()

    def source():
        yield work()
        raise OSError("the list of prompts could not be read on")

    with pytest.raises(OSError, match="prompts"):
        await gather_with_limit(source(), limit=2)
    assert work.started in (0, work.cleaned_up)
    assert len(asyncio.all_tasks()) == 1


async def test_something_that_cannot_be_awaited_is_refused():
    late = echo(2)
    with pytest.raises(TypeError):
        await gather_with_limit([echo(1), 2, late], limit=1)
    assert inspect.getcoroutinestate(late) == inspect.CORO_CLOSED


async def test_neighbours_do_not_see_each_others_context():
    user = contextvars.ContextVar("user", default="nobody")
    user.set("caller")

    async def work(name):
        seen = user.get()
        user.set(name)
        await asyncio.sleep(0)
        return seen, user.get()

    results = await gather_with_limit((work(name) for name in "abc"), limit=1)
    assert results == [("caller", "a"), ("caller", "b"), ("caller", "c")]
    assert user.get() == "caller"


async def test_tasks_and_futures_are_gathered_as_well():
    future = asyncio.get_running_loop().create_future()
    future.set_result("set")
    task = asyncio.create_task(echo("task"))
    assert await gather_with_limit([future, task, future]) == ["set", "task", "set"]


async def test_nothing_gives_nothing():
    assert await gather_with_limit([]) == []


async def test_a_limit_that_lets_nothing_run_is_refused():
    with pytest.raises(ValueError, match="limit=0"):
        await gather_with_limit([], limit=0)
