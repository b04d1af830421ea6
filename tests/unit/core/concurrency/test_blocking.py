"""The asyncio map from threads: running, gathering, waiting for and cancelling coroutines."""

import asyncio
import contextvars
import gc
import inspect
import queue
import threading
from concurrent import futures

import pytest
from loop_work import echo, for_ever, started

from xwe.core.concurrency import blocking
from xwe.core.concurrency.blocking import tasks
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor
from xwe.errors import DeadlineExceededError, SaturatedError

user = contextvars.ContextVar("user", default="nobody")


async def fail():
    await asyncio.sleep(0)
    raise LookupError("broken")


def test_run_returns_the_result_and_carries_the_context():
    async def work():
        return user.get(), asyncio.get_running_loop() is blocking.get_running_loop()

    user.set("Ada")
    assert blocking.run(work()) == ("Ada", True)
    with pytest.raises(LookupError):
        blocking.run(fail())
    user.set("nobody")


def test_gather_runs_all_at_once_and_keeps_the_order():
    async def meet(mine, other, name):
        mine.set()
        await other.wait()
        return name

    async def make():
        return asyncio.Event(), asyncio.Event()

    left, right = blocking.run(make())
    task = blocking.create_task(meet(right, left, "task"))
    assert blocking.gather(meet(left, right, "coro"), task, echo(3)) == ["coro", "task", 3]
    assert blocking.gather() == []


def test_gather_raises_the_first_error_or_puts_each_in_its_place():
    with pytest.raises(LookupError):
        blocking.gather(echo(1), fail())
    first, second = blocking.gather(echo(1), fail(), return_exceptions=True)
    assert first == 1
    assert isinstance(second, LookupError)


def test_a_task_runs_while_its_thread_does_something_else():
    async def work():
        await may_end.wait_async()
        return user.get()

    may_end = blocking.Event()
    user.set("Ada")
    task = blocking.create_task(work(), name="answer")
    user.set("nobody")
    assert not task.done()
    may_end.set()
    assert task.result(timeout=60) == "Ada"
    assert task.exception() is None
    assert blocking.create_task(fail()).exception(60).args == ("broken",)


def test_a_cancelled_task_has_cleaned_up_when_its_result_says_so():
    ended = threading.Event()
    task = started(for_ever(ended))
    assert task.cancel()
    with pytest.raises(futures.CancelledError):
        task.result(60)
    assert ended.is_set()
    assert task.cancelled()
    assert not task.cancel()


def test_a_task_cancelled_before_its_first_step_never_takes_it(blocked_loop):
    started = []

    async def work():
        started.append(1)

    task = blocking.create_task(work())
    task.cancel()
    blocked_loop.set()
    with pytest.raises(futures.CancelledError):
        task.result(60)
    assert not started


def test_a_task_may_answer_its_cancellation():
    running = blocking.Event()

    async def stubborn():
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "kept on"

    task = blocking.create_task(stubborn())
    running.wait()
    task.cancel()
    assert task.result(60) == "kept on"
    assert not task.cancelled()


def test_a_task_whose_handle_was_dropped_goes_on():
    result = queue.SimpleQueue()

    async def work():
        future = asyncio.get_running_loop().create_future()
        made.put(future)
        result.put(await future)

    made = queue.SimpleQueue()
    blocking.create_task(work())
    future = made.get(timeout=60)
    gc.collect()
    blocking.get_running_loop().call_soon_threadsafe(future.set_result, "done")
    del future
    assert result.get(timeout=60) == "done"


def test_waiting_for_a_result_leaves_the_work_running_when_its_timeout_passes():
    may_end = blocking.Event()
    task = blocking.create_task(may_end.wait_async())
    with pytest.raises(DeadlineExceededError):
        task.result(timeout=0.001)
    assert not task.done()
    may_end.set()
    assert task.result(60) is None


def test_wait_tells_the_done_from_the_pending_and_cancels_nothing():
    may_end = blocking.Event()
    slow, quick = blocking.create_task(may_end.wait_async()), blocking.create_task(echo(1))
    done, pending = blocking.wait([slow, quick], return_when=blocking.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    done, pending = blocking.wait([slow, quick], timeout=0.001)
    assert (done, pending) == ({quick}, {slow})
    may_end.set()
    assert blocking.wait([slow, quick]) == ({slow, quick}, set())


def test_wait_for_the_first_failure_does_not_wait_for_the_rest():
    may_end = blocking.Event()
    slow, failing = blocking.create_task(may_end.wait_async()), blocking.create_task(fail())
    with blocking.timeout(20):
        done, pending = blocking.wait([slow, failing], return_when=blocking.FIRST_EXCEPTION)
    assert (done, pending) == ({failing}, {slow})
    may_end.set()
    slow.result(60)


def test_wait_takes_tasks_only():
    coro = echo(1)
    with pytest.raises(TypeError, match="create_task"):
        blocking.wait([coro])
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
    with pytest.raises(ValueError, match="nothing"):
        blocking.wait([])


def test_a_cancelled_task_counts_as_done_for_wait_and_as_completed():
    task, future = blocking.create_task(for_ever()), blocking.Future()
    task.cancel()
    future.cancel()
    future.cancel()
    assert blocking.wait([task, future], timeout=60) == ({task, future}, set())
    assert set(blocking.as_completed([task, future], timeout=60)) == {task, future}


def test_as_completed_yields_the_quickest_first():
    gates = [blocking.Event() for _ in range(3)]

    async def work(number):
        await gates[number].wait_async()
        return number

    order = [2, 0, 1]
    gates[order[0]].set()
    seen = []
    for task in blocking.as_completed([work(number) for number in range(3)], timeout=60):
        seen.append(task.result())
        if len(seen) < 3:
            gates[order[len(seen)]].set()
    assert seen == order


def test_as_completed_ends_at_its_timeout():
    task = blocking.create_task(for_ever())
    with pytest.raises(DeadlineExceededError):
        list(blocking.as_completed([task], timeout=0.001))
    assert not task.done()
    task.cancel()


def test_what_is_shielded_goes_on_when_its_waiter_gives_up():
    may_end = blocking.Event()
    inner = blocking.create_task(may_end.wait_async())
    with pytest.raises(DeadlineExceededError):
        blocking.wait_for(blocking.shield(inner), 0.001)
    shielded = blocking.shield(inner)
    shielded.cancel()
    with pytest.raises(futures.CancelledError):
        shielded.result(60)
    assert not inner.done()
    may_end.set()
    assert inner.result(60) is None


def test_wait_for_cancels_what_takes_too_long_and_sees_it_end():
    ended = threading.Event()
    task = started(for_ever(ended))
    with pytest.raises(TimeoutError):
        blocking.wait_for(task, 0.01)
    assert task.cancelled()
    assert ended.is_set()
    assert blocking.wait_for(echo(1), 20) == 1


def test_wait_for_tells_the_works_own_timeout_from_ours():
    async def work():
        raise TimeoutError("the work's own")

    with pytest.raises(TimeoutError, match="the work's own"):
        blocking.wait_for(work(), 20)


def test_wait_for_does_not_hang_on_work_that_will_not_end(monkeypatch):
    monkeypatch.setattr(tasks, "SETTLE_WITHIN_S", 0.01)
    may_end = blocking.Event()

    async def stubborn():
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait_async()

    task = started(stubborn())
    with pytest.raises(DeadlineExceededError):
        blocking.wait_for(task, 0.05)
    assert not task.done()
    may_end.set()
    blocking.wait([task], 20)


def test_wait_for_answers_in_time_when_the_loop_is_blocked(blocked_loop, monkeypatch):
    monkeypatch.setattr(tasks, "SETTLE_WITHIN_S", 0.01)
    with pytest.raises(DeadlineExceededError):
        blocking.wait_for(echo(1), 0.01)
    blocked_loop.set()


def test_an_interrupted_thread_does_not_leave_its_work_running(monkeypatch):
    ended = threading.Event()

    def interrupted(*_args):
        blocking_wait([], 0.01)
        raise KeyboardInterrupt

    blocking_wait = futures.wait
    task = started(for_ever(ended))
    monkeypatch.setattr(futures, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        blocking.wait_for(task, None)
    monkeypatch.undo()
    assert ended.wait(60)


def test_sleep_gives_what_is_ready_on_the_loop_its_turn():
    turns = []
    blocking.get_running_loop().call_soon_threadsafe(turns.append, 1)
    blocking.sleep(0)
    assert turns == [1]


def test_run_in_executor_carries_the_context_and_names_the_pool():
    user.set("Ada")
    with BoundedThreadPoolExecutor(1, 0, thread_name_prefix="mine") as executor:
        future = blocking.run_in_executor(
            executor, lambda suffix: (user.get() + suffix, threading.current_thread().name), "!"
        )
        seen, name = future.result(60)
    user.set("nobody")
    assert seen == "Ada!"
    assert name.startswith("mine")
    assert isinstance(future, blocking.Future)


def test_run_in_executor_tells_a_full_pool_through_the_future():
    may_end = threading.Event()
    with BoundedThreadPoolExecutor(1, 0) as executor:
        first = blocking.run_in_executor(executor, may_end.wait, 60)
        blocking.sleep(0)  # it is in the pool by then
        with pytest.raises(SaturatedError):
            blocking.run_in_executor(executor, int).result(60)
        may_end.set()
        assert first.result(60)


def test_a_list_with_something_else_in_it_starts_nothing():
    coro = echo(1)
    with pytest.raises(TypeError, match="another awaitable is needed"):
        blocking.gather(coro, 5)
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED


def test_an_infinite_timeout_is_none():
    assert blocking.wait_for(echo(1), float("inf")) == 1
