"""The bounded pool: what it refuses, what it carries along, and that it cannot wait for itself."""

import asyncio
import contextlib
import contextvars
import random
import threading
import weakref
from concurrent.futures import CancelledError, Future

import pytest

from xwe.core.concurrency import executor as module
from xwe.core.concurrency.bridge import run_async_in_sync
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor, offload
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import ClosedError, LoopDeadlockError, SaturatedError

user = contextvars.ContextVar("user", default=None)


@contextlib.contextmanager
def pool_of(workers, queue=0):
    with BoundedThreadPoolExecutor(workers, queue, thread_name_prefix="test-pool") as pool:
        yield pool


@pytest.fixture
def full_pool(new_task):
    """One thread, which is busy, and one place, which is taken."""
    with pool_of(1, 1) as pool:
        task = new_task()
        pool.submit(task)
        assert task.begun.wait(60)
        pool.waiting = pool.submit(task)
        yield pool
        task.let_go()


# -- bounds


def test_a_full_pool_refuses_and_says_when_to_come_back(full_pool):
    with pytest.raises(SaturatedError, match="LLM_ASYNC_WORKERS") as caught:
        full_pool.submit(print)
    assert caught.value.retry_after_s >= 1
    assert full_pool.stats().refused == 1


def test_the_documents_monitoring_section_gets_its_three_figures(full_pool):
    assert full_pool._max_workers == 1
    assert len(full_pool._threads) == 1
    assert full_pool._work_queue.qsize() == 1


def test_statistics_tell_what_runs_and_what_waits(full_pool):
    stats = full_pool.stats()
    assert (stats.max_workers, stats.queue_size) == (1, 1)
    assert (stats.threads, stats.running, stats.waiting) == (1, 1, 1)


def test_a_wait_is_estimated_from_how_long_tasks_take(full_pool):
    full_pool._mean_task_s = 7.0
    with pytest.raises(SaturatedError) as caught:
        full_pool.submit(print)
    assert caught.value.retry_after_s == 21.0  # two ahead, then this one


def test_a_place_is_free_as_soon_as_the_result_is_there(monkeypatch):
    """Whoever waits for the result may ask again before anybody else has been told of it."""
    may_end, may_tell, tell = threading.Event(), threading.Event(), Future._invoke_callbacks

    def tell_late(future):
        assert may_tell.wait(60)
        tell(future)

    monkeypatch.setattr(Future, "_invoke_callbacks", tell_late)
    with pool_of(1) as pool:
        try:
            first = pool.submit(may_end.wait, 60)
            may_end.set()
            assert first.result()
            second = pool.submit(int)
        finally:
            may_tell.set()
        assert second.result() == 0


def test_cancelled_tasks_give_their_place_back_but_cannot_pile_up_in_the_queue(full_pool):
    assert full_pool.waiting.cancel()
    assert full_pool.stats().waiting == 0
    accepted = 0
    with contextlib.suppress(SaturatedError):
        while accepted < 50:
            full_pool.submit(print).cancel()
            accepted += 1
    assert full_pool._work_queue.qsize() <= 2
    assert accepted <= 1


def test_64_threads_submitting_never_have_more_outstanding_than_there_are_places():
    limit, guard = 3 + 4, threading.Lock()
    outstanding = most = refused = 0
    together = threading.Barrier(64)

    def leave(_):
        nonlocal outstanding
        with guard:
            outstanding -= 1

    with pool_of(3, 4) as pool:

        def submit(number):
            nonlocal outstanding, most, refused
            chance = random.Random(number)  # noqa: S311 - forces interleavings
            together.wait(60)
            for _ in range(30):
                with guard:  # counted from before the submission, so never too low
                    outstanding += 1
                try:
                    future = pool.submit(pow, 3, chance.randrange(2000))
                except SaturatedError:
                    leave(None)
                    with guard:
                        refused += 1
                else:
                    with guard:
                        most = max(most, pool._pending)
                    future.add_done_callback(leave)

        threads = [threading.Thread(target=submit, args=(number,)) for number in range(64)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
    stats = pool.stats()
    assert most <= limit
    assert (outstanding, stats.running, stats.waiting) == (0, 0, 0)
    assert stats.refused == refused
    assert stats.threads <= 3


def test_never_more_tasks_run_or_wait_than_there_are_places(new_task):
    """With every task held, exactly as many are taken as there are places."""
    task = new_task()
    taken = []

    def submit():
        with contextlib.suppress(SaturatedError):
            taken.append(pool.submit(task))

    with pool_of(2, 3) as pool:
        threads = [threading.Thread(target=submit) for _ in range(64)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert len(taken) == 5
        assert pool.stats().refused == 59
        task.let_go()
    assert [future.result(0) for future in taken] == ["done"] * 5


@pytest.mark.parametrize(("workers", "queue"), [(0, 1), (1, -1)])
def test_sizes_without_a_meaning_are_refused(workers, queue):
    with pytest.raises(ValueError, match="must be"):
        BoundedThreadPoolExecutor(workers, queue)


def test_a_pool_that_was_shut_down_says_so():
    with pool_of(1) as pool:
        pass
    with pytest.raises(ClosedError, match="shut down"):
        pool.submit(print)
    assert pool.stats().waiting == 0


# -- what goes along


def test_a_task_sees_the_submitters_context_and_leaves_it_alone():
    def look():
        before = user.get()
        user.set("pool")
        return before

    with pool_of(1) as pool:
        user.set("ann")
        assert pool.submit(look).result(60) == "ann"
        user.set("bob")
        assert pool.submit(look).result(60) == "bob"
    assert user.get() == "bob"
    user.set(None)


def test_a_stop_iteration_is_an_error_and_hangs_nobody():
    with pool_of(1) as pool, pytest.raises(RuntimeError, match="StopIteration"):
        pool.submit(next, iter(())).result(60)


def test_an_error_keeps_nothing_alive_once_it_has_been_seen():
    class Payload:
        pass

    def fail(payload):
        raise ValueError

    with pool_of(1) as pool:
        payload = Payload()
        left = weakref.ref(payload)
        with contextlib.suppress(ValueError):
            pool.submit(fail, payload).result(60)
        del payload
        pool.submit(abs, 1).result(60)  # the thread has let go of it too
        assert left() is None


# -- a pool whose tasks wait for it


def directly(pool, func, *args):
    return pool.submit(func, *args).result(60)


def through_the_loop(pool, func, *args):
    return run_async_in_sync(offload(func, *args, executor=pool), 20)


def through_gather(pool, func, *args):
    async def several():
        calls = (offload(func, *args, executor=pool) for _ in range(3))
        return (await asyncio.gather(*calls))[0]

    return run_async_in_sync(several(), 20)


@pytest.mark.parametrize("way", [directly, through_the_loop, through_gather])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_task_that_waits_for_its_own_pool_of_one_gets_its_answer(way, depth):
    def nested(levels):
        return f"{levels} " + (way(pool, nested, levels - 1) if levels else "")

    with pool_of(1, 9) as pool:
        assert way(pool, nested, depth) == "".join(f"{level} " for level in range(depth, -1, -1))


def test_two_pools_of_one_that_wait_for_each_other_get_their_answers():
    def there_and_back(first, second, levels):
        if not levels:
            return "there"
        return through_the_loop(second, there_and_back, second, first, levels - 1)

    with pool_of(1) as first, pool_of(1) as second:
        assert directly(first, there_and_back, first, second, 5) == "there"


def test_an_endless_recursion_is_an_error_before_it_eats_all_threads():
    def endless():
        return directly(pool, endless)

    with pool_of(1) as pool, pytest.raises(LoopDeadlockError, match="levels deep"):
        directly(pool, endless)


def test_what_a_task_leaves_running_uses_the_pool_itself_and_its_bound():
    """Inherited context must not open a second pool to work whose task has long ended."""
    names, go_on = [], threading.Event()

    async def background():
        await offload(go_on.wait, 60)
        names.append(await offload(lambda: threading.current_thread().name, executor=pool))

    with pool_of(1, 1) as pool:
        left = pool.submit(lambda: get_loop_thread().submit(background())).result(60)
        go_on.set()
        left.result(60)
        assert pool._behind is None
    assert "nested" not in names[0]


def test_nested_tasks_are_bounded_too(new_task):
    def outer():
        for _ in range(2):
            pool.submit(task)
        with pytest.raises(SaturatedError):
            pool.submit(task)
        task.let_go()

    task = new_task()
    with pool_of(1, 1) as pool:
        pool.submit(outer).result(60)


def test_shutdown_waits_for_nested_tasks_too(new_task):
    task, ended = new_task(), []

    def outer():
        inner = pool.submit(task)
        inner.add_done_callback(lambda _: ended.append(1))
        assert task.begun.wait(60)

    with pool_of(1, 1) as pool:
        pool.submit(outer).result(60)
        threading.Timer(0.01, task.let_go).start()
    assert ended == [1]


def test_pools_are_forgotten_when_nobody_uses_them():
    pool = BoundedThreadPoolExecutor(1, 1, thread_name_prefix="test-pool")
    thread = pool.submit(threading.current_thread).result(60)
    assert pool in module._pools
    left = weakref.ref(pool)
    del pool
    thread.join(60)
    assert left() is None
    assert not thread.is_alive()


def test_a_cancelled_future_stays_what_the_standard_library_makes_of_it(full_pool):
    waiting = full_pool.waiting
    assert isinstance(waiting, Future)
    waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(0)
