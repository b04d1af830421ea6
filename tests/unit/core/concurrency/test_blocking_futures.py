"""Futures that threads and coroutines share, and the end of the loop under them."""

import asyncio
import threading
from concurrent import futures

import pytest
from loop_work import echo

from xwe.core.concurrency import blocking
from xwe.core.concurrency.loop_thread import close_loop_thread, get_loop_thread
from xwe.errors import ClosedError


@pytest.fixture
def pool():
    with futures.ThreadPoolExecutor(8) as executor:
        yield executor


def test_a_future_is_set_by_one_thread_and_read_by_another(pool):
    future = blocking.Future()
    reading = pool.submit(future.result)
    future.set_result("set")
    assert reading.result(60) == "set"


def test_a_future_is_awaited_on_the_resident_loop_and_on_any_other():
    async def read(future):
        return await future

    for reader in (blocking.run, asyncio.run):
        future = blocking.Future()
        threading.Timer(0.001, future.set_result, ["set"]).start()
        assert reader(read(future)) == "set"


def test_a_task_is_awaited_on_any_loop():
    async def read(task):
        return await task

    assert blocking.run(read(blocking.create_task(echo(1)))) == 1
    assert asyncio.run(read(blocking.create_task(echo(2)))) == 2


def test_closing_the_loop_ends_its_tasks_and_tells_whoever_waits(pool):
    may_end, ended = threading.Event(), threading.Event()

    async def work():
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
            may_end.wait(60)  # the loop is stuck in it while it is being closed

    running = blocking.Event()
    task = blocking.create_task(work())
    waiting = pool.submit(task.result)
    running.wait()
    closing = pool.submit(close_loop_thread)
    with pytest.raises(ClosedError):
        waiting.result(60)
    assert ended.wait(60)
    may_end.set()
    closing.result(60)
    assert blocking.run(echo("the next loop")) == "the next loop"


def test_the_result_of_a_future_that_is_done_can_be_read_on_the_loop():
    future = blocking.Future()
    future.set_result(1)

    async def read():
        return future.result()

    assert get_loop_thread().run(read()) == 1
