"""N run, Q wait, the next is refused; and no place is ever lost, whoever leaves and when."""

import asyncio
import random
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from xwe.core.concurrency.admission import Admission
from xwe.errors import SaturatedError


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


async def turns():
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def figures(admission):
    stats = admission.stats()
    return stats.running, stats.waiting, stats.refused


# -- who gets in


async def test_so_many_run_so_many_wait_and_the_next_is_refused_at_once():
    admission = Admission(2, 1, name="calls")
    await admission.enter()
    await admission.enter()
    waiting = asyncio.create_task(admission.enter())
    await turns()
    with pytest.raises(SaturatedError, match="2 calls run and 1 wait"):
        await admission.enter()
    with pytest.raises(SaturatedError):
        admission.enter_blocking(20)
    assert not admission.try_enter()
    assert figures(admission) == (2, 1, 2)
    admission.leave()
    await waiting
    assert figures(admission) == (2, 0, 2)
    admission.leave()
    admission.leave()
    assert figures(admission) == (0, 0, 2)


async def test_places_go_to_those_who_have_waited_longest():
    admission = Admission(1, 9)
    entered = []

    async def visit(number):
        async with admission.place():
            entered.append(number)
            await asyncio.sleep(0)

    await admission.enter()
    visits = [asyncio.create_task(visit(number)) for number in range(9)]
    await turns()
    assert not admission.try_enter(), "nobody overtakes"
    admission.leave()
    await asyncio.gather(*visits)
    assert entered == list(range(9))


def test_threads_and_coroutines_on_several_loops_share_the_places():
    admission = Admission(3, 200)
    guard = threading.Lock()
    inside = most = 0

    def count(step):
        nonlocal inside, most
        with guard:
            inside += step
            most = max(most, inside)

    def thread():
        for _ in range(20):
            with admission.place_blocking(20):
                count(1)
                count(-1)

    async def coroutine():
        for _ in range(5):
            async with admission.place():
                count(1)
                await asyncio.sleep(0)
                count(-1)

    async def loop():
        await asyncio.gather(*(coroutine() for _ in range(8)))

    threads = [threading.Thread(target=thread) for _ in range(6)]
    threads += [threading.Thread(target=lambda: asyncio.run(loop())) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
        assert not each.is_alive(), "a wake-up was lost"
    assert most <= 3
    assert figures(admission) == (0, 0, 0)


def test_a_thread_waits_no_longer_than_it_may():
    admission = Admission(1, 1)
    admission.enter_blocking()
    with pytest.raises(SaturatedError, match=r"within 0\.01 s") as caught:
        admission.enter_blocking(0.01)
    assert caught.value.retry_after_s >= 1
    assert figures(admission) == (1, 0, 1)


@pytest.mark.parametrize(("running", "waiting"), [(0, 1), (1, -1)])
def test_sizes_without_a_meaning_are_refused(running, waiting):
    with pytest.raises(ValueError, match="max_running"):
        Admission(running, waiting)


# -- those who leave at the wrong moment


async def test_a_waiter_that_is_cancelled_leaves_the_queue():
    admission = Admission(1, 1)
    await admission.enter()
    waiting = asyncio.create_task(admission.enter())
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert figures(admission) == (1, 0, 0)


@pytest.mark.parametrize("turns_between", [0, 1])
async def test_a_place_granted_to_a_waiter_that_is_cancelled_at_that_instant_passes_on(
    turns_between,
):
    admission = Admission(1, 2)
    await admission.enter()
    cancelled, next_one = (asyncio.create_task(admission.enter()) for _ in range(2))
    await turns()
    admission.leave()  # the place is granted, but the waiter has not run since
    for _ in range(turns_between):
        await asyncio.sleep(0)
    assert not cancelled.done()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await next_one
    assert figures(admission) == (1, 0, 0)


def test_a_place_granted_to_a_thread_that_times_out_at_that_instant_passes_on(monkeypatch):
    admission = Admission(1, 1)
    admission.enter_blocking()
    give_up = admission._give_up

    def grant_first(waiter):
        admission.leave()
        assert waiter.granted
        give_up(waiter)

    monkeypatch.setattr(admission, "_give_up", grant_first)
    with pytest.raises(SaturatedError):
        admission.enter_blocking(0)
    assert figures(admission) == (0, 0, 1)
    assert admission.try_enter()


async def test_a_place_granted_on_a_loop_that_has_ended_passes_on_and_only_once():
    admission = Admission(1, 9)
    left = [await asyncio.to_thread(wait_on_a_loop_that_ends, admission) for _ in range(3)]
    assert figures(admission) == (1, 3, 0)
    waiting = asyncio.create_task(admission.enter())
    await turns()
    admission.leave()
    await waiting
    for task in left:
        task.get_coro().close()  # as the garbage collector would
    assert figures(admission) == (1, 0, 0)


def wait_on_a_loop_that_ends(admission):
    loop = asyncio.new_event_loop()
    admission.try_enter()
    task = loop.create_task(admission.enter())
    loop.run_until_complete(turns())
    loop.close()
    task._log_destroy_pending = False
    return task


async def test_an_error_inside_gives_the_place_back():
    admission = Admission(1, 0)
    with pytest.raises(KeyError):
        async with admission.place():
            raise KeyError
    with pytest.raises(KeyError), admission.place_blocking():
        raise KeyError
    assert figures(admission) == (0, 0, 0)


# -- the estimate


def test_the_wait_is_estimated_from_how_long_places_are_held():
    clock = Clock()
    admission = Admission(2, 2, clock=clock)
    for held_s in (8, 18):
        with admission.place_blocking():
            clock.now += held_s
    assert admission.stats().mean_held_s == pytest.approx(9)  # each new one moves it by a tenth
    assert admission.estimate_wait_s() == pytest.approx(4.5)
    admission.enter_blocking()
    admission.enter_blocking()
    for _ in range(2):
        with pytest.raises(SaturatedError):
            admission.enter_blocking(0)
    admission.leave()
    admission.leave()


def test_no_wait_below_a_second_is_told():
    assert Admission(1, 1).estimate_wait_s() == 1


# -- any order of events


class AdmissionMachine(RuleBasedStateMachine):
    """Coroutines on one loop enter, leave, give up and run on in any order."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.admission = Admission(2, 3)
        self.inside = 0
        self.waiting = []

    def settle(self, turns_to_run):
        async def run():
            for _ in range(turns_to_run):
                await asyncio.sleep(0)

        self.loop.run_until_complete(run())
        for task in [task for task in self.waiting if task.done()]:
            self.waiting.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.inside += 1

    @rule()
    def arrive(self):
        task = self.loop.create_task(self.admission.enter())
        self.waiting.append(task)

    @rule()
    def arrive_without_waiting(self):
        self.inside += self.admission.try_enter()

    @precondition(lambda self: self.inside)
    @rule()
    def leave(self):
        self.inside -= 1
        self.admission.leave(1.0)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 99))
    def give_up(self, which):
        self.waiting[which % len(self.waiting)].cancel()

    @rule(turns_to_run=st.integers(0, 3))
    def run_on(self, turns_to_run):
        self.settle(turns_to_run)

    @invariant()
    def holds_its_bounds(self):
        stats = self.admission.stats()
        assert self.inside <= stats.running <= 2
        assert 0 <= stats.waiting <= 3

    def teardown(self):
        self.settle(9)
        stats = self.admission.stats()
        assert stats.running == self.inside, "a place was lost"
        assert stats.waiting == len(self.waiting)
        assert not stats.waiting or stats.running == 2, "a place is free while somebody waits"
        for task in self.waiting:
            task.cancel()
        self.settle(9)
        for _ in range(self.inside):
            self.admission.leave()
        assert figures(self.admission)[:2] == (0, 0)
        self.loop.close()


AdmissionMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, derandomize=True, database=None
)
TestAnyOrderOfEvents = AdmissionMachine.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_threads_that_come_and_give_up_in_any_order_lose_no_place(seed):
    admission = Admission(2, 4)
    guard = threading.Lock()
    inside = most = 0

    def visit(number):
        nonlocal inside, most
        chance = random.Random(f"{seed} {number}")  # noqa: S311 - forces interleavings
        for _ in range(60):
            try:
                admission.enter_blocking(chance.choice([None, 0, 0.0005]))
            except SaturatedError:
                continue
            with guard:
                inside += 1
                most = max(most, inside)
            with guard:
                inside -= 1
            admission.leave(0.0)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
        assert not each.is_alive(), "a wake-up was lost"
    assert most <= 2
    assert figures(admission)[:2] == (0, 0)
