"""`offload`: a blocking function awaited, in a pool of its own or in the one that all share."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.core.concurrency.bridge import run_async_in_sync
from xwe.core.concurrency.executor import (
    BoundedThreadPoolExecutor,
    cleanup_global_executor,
    get_global_executor,
    offload,
)
from xwe.errors import ClosedError, SaturatedError

user = contextvars.ContextVar("user", default=None)


@pytest.fixture(params=[BoundedThreadPoolExecutor, ThreadPoolExecutor])
def any_pool(request):
    sizes = (1, 1) if request.param is BoundedThreadPoolExecutor else (1,)
    with request.param(*sizes) as pool:
        yield pool


async def test_offload_carries_arguments_context_results_and_errors(any_pool):
    def work(*args, **kwargs):
        return args, kwargs, user.get()

    user.set("ann")
    assert await offload(work, 1, executor=any_pool, two=2) == ((1,), {"two": 2}, "ann")
    with pytest.raises(KeyError, match="missing"):
        await offload({}.__getitem__, "missing", executor=any_pool)


async def test_a_stop_iteration_does_not_hang_whoever_awaits_it(any_pool):
    async with asyncio.timeout(20):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await offload(next, iter(()), executor=any_pool)


async def test_the_loop_stays_free_meanwhile(any_pool, new_task):
    task = new_task()
    work = asyncio.create_task(offload(task, executor=any_pool))
    await offload(task.begun.wait, 60)
    assert not work.done()
    task.let_go()
    assert await work == "done"


async def test_cancelling_releases_the_caller_at_once_and_the_place_when_the_thread_is_back(
    new_task,
):
    with BoundedThreadPoolExecutor(1, 0) as pool:
        task = new_task()
        work = asyncio.create_task(offload(task, executor=pool))
        await offload(task.begun.wait, 60)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert pool.stats().running == 1
        with pytest.raises(SaturatedError):
            await offload(print, executor=pool)
        task.let_go()


async def test_work_in_the_queue_of_a_pool_that_is_shut_down_is_an_error_not_a_cancellation(
    any_pool, new_task
):
    task = new_task()
    running = asyncio.create_task(offload(task, executor=any_pool))
    await offload(task.begun.wait, 60)
    waiting = asyncio.create_task(offload(task, executor=any_pool))
    await asyncio.sleep(0)
    any_pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(ClosedError):
        await waiting
    task.let_go()
    assert await running == "done"


# -- the global pool


@pytest.fixture
def no_global_pool():
    cleanup_global_executor()
    yield
    cleanup_global_executor()


@pytest.mark.usefixtures("no_global_pool")
def test_everybody_gets_one_global_pool_sized_by_the_environment(monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_WORKERS", "3")
    monkeypatch.setenv("LLM_ASYNC_QUEUE_SIZE", "7")
    together = threading.Barrier(8)
    pools = []

    def get():
        together.wait(60)
        pools.append(get_global_executor())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(set(pools)) == 1
    assert (pools[0].max_workers, pools[0].queue_size) == (3, 7)


@pytest.mark.usefixtures("no_global_pool")
def test_after_cleanup_the_next_use_makes_a_new_global_pool():
    before = get_global_executor()
    assert run_async_in_sync(offload(pow, 2, 3)) == 8
    cleanup_global_executor()
    cleanup_global_executor()
    with pytest.raises(ClosedError):
        before.submit(print)
    assert not any(each.is_alive() for each in before._threads)
    assert run_async_in_sync(offload(pow, 2, 4)) == 16
    assert get_global_executor() is not before
