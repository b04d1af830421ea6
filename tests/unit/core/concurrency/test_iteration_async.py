"""An iterator read in a coroutine: of the resident loop from another one, and a blocking one."""

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.core.concurrency import iteration as module
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor
from xwe.core.concurrency.iteration import iterate_across, iterate_offloaded
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import ClosedError, SaturatedError

user = contextvars.ContextVar("user", default=None)


class Source:
    """Counts; waits for ever before `hold_at`, fails at `fail_at`, and tells of its end."""

    def __init__(self, hold_at=None, fail_at=None):
        self.given, self.closed, self.holds = 0, threading.Event(), threading.Event()
        self._hold_at, self._fail_at = hold_at, fail_at

    async def __call__(self):
        try:
            for number in range(5):
                if number == self._hold_at:
                    self.holds.set()
                    await asyncio.Event().wait()
                if number == self._fail_at:
                    raise KeyError(number)
                self.given += 1
                yield number
        finally:
            self.closed.set()


# -- an asynchronous iterator from another loop


async def test_another_loop_reads_one_of_the_resident_loop():
    user.set("ann")

    async def look():
        assert asyncio.get_running_loop() is get_loop_thread().loop
        for number in range(600):
            yield number, user.get()

    assert [item async for item in iterate_across(look())] == [
        (number, "ann") for number in range(600)
    ]


async def test_a_coroutine_that_leaves_closes_it_and_an_error_comes_after_the_items():
    source = Source(hold_at=3)
    async with contextlib.aclosing(iterate_across(source())) as reader:
        assert await anext(reader) == 0
    assert source.closed.is_set()
    reader = iterate_across(Source(fail_at=2)())
    assert [await anext(reader), await anext(reader)] == [0, 1]
    with pytest.raises(KeyError):
        await anext(reader)


async def test_a_coroutine_that_is_cancelled_closes_it():
    source = Source(hold_at=0)

    async def read():
        async with contextlib.aclosing(iterate_across(source())) as reader:
            await anext(reader)

    task = asyncio.create_task(read())
    await asyncio.to_thread(source.holds.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed.is_set()


def test_on_the_resident_loop_itself_there_is_no_detour():
    source = Source(hold_at=3)

    async def read():
        async with contextlib.aclosing(iterate_across(source())) as reader:
            assert await anext(reader) == 0
            assert source.given == 1, "nothing is read ahead"

    get_loop_thread().run(read())
    assert source.closed.is_set()


# -- a blocking iterator in a coroutine


class BlockingSource:
    """Counts in a pool's thread; waits to be let on before `hold_at`."""

    def __init__(self, count=5, hold_at=None):
        self.holds, self.go_on, self.closed = (threading.Event() for _ in range(3))
        self.thread = None
        self._numbers, self._hold_at = iter(range(count)), hold_at

    def __iter__(self):
        return self

    def __next__(self):
        self.thread = threading.current_thread()
        number = next(self._numbers)
        if number == self._hold_at:
            self.holds.set()
            assert self.go_on.wait(60)
        return number

    def close(self):
        self.closed.set()


@pytest.fixture(params=[BoundedThreadPoolExecutor, ThreadPoolExecutor])
def any_pool(request):
    sizes = (1, 1) if request.param is BoundedThreadPoolExecutor else (1,)
    with request.param(*sizes) as pool:
        yield pool


async def test_a_blocking_iterator_runs_in_the_pool_with_the_context(any_pool):
    user.set("ann")

    def look():
        for number in range(600):
            assert threading.current_thread() is not threading.main_thread()
            yield number, user.get()

    assert [item async for item in iterate_offloaded(look(), any_pool)] == [
        (number, "ann") for number in range(600)
    ]


async def test_without_a_pool_the_global_one_is_used():
    source = BlockingSource()
    assert [item async for item in iterate_offloaded(source)] == [0, 1, 2, 3, 4]
    assert source.thread.name.startswith("xwe-global")
    assert source.closed.is_set()


async def test_leaving_releases_the_reader_at_once_and_the_place_when_the_thread_is_back():
    with BoundedThreadPoolExecutor(1, 0) as pool:
        source = BlockingSource(hold_at=1)
        async with contextlib.aclosing(iterate_offloaded(source, pool)) as reader:
            assert await anext(reader) == 0
            await asyncio.to_thread(source.holds.wait, 60)
        assert not source.closed.is_set()
        assert pool.stats().running == 1
        with pytest.raises(SaturatedError):
            pool.submit(print)
        source.go_on.set()
        assert await asyncio.to_thread(source.closed.wait, 60)
    assert pool.stats().running == 0


async def test_a_writer_that_waits_for_space_is_released_when_the_reader_leaves(
    any_pool, monkeypatch
):
    full = threading.Event()

    class Told(module.Mailbox):
        def space_blocking(self):
            full.set()
            super().space_blocking()

    monkeypatch.setattr(module, "Mailbox", Told)
    source = BlockingSource(10_000)
    async with contextlib.aclosing(iterate_offloaded(source, any_pool)) as reader:
        assert await anext(reader) == 0
        assert await asyncio.to_thread(full.wait, 60), "it runs away from its reader"
    assert await asyncio.to_thread(source.closed.wait, 60)


async def test_an_error_in_the_thread_comes_after_the_items(any_pool):
    def broken():
        yield 1
        raise KeyError("broken")

    reader = iterate_offloaded(broken(), any_pool)
    assert await anext(reader) == 1
    with pytest.raises(KeyError, match="broken"):
        await anext(reader)


async def test_an_error_of_the_clean_up_does_not_leave_the_reader_waiting(any_pool):
    class Broken(BlockingSource):
        def close(self):
            raise OSError("while closing")

    with pytest.raises(OSError, match="while closing"):
        [item async for item in iterate_offloaded(Broken(), any_pool)]


async def test_an_error_after_the_reader_left_is_at_least_logged(any_pool, caplog):
    class Broken(BlockingSource):
        def close(self):
            super().close()
            raise OSError("while closing")

    source = Broken(hold_at=1)
    async with contextlib.aclosing(iterate_offloaded(source, any_pool)) as reader:
        await anext(reader)
    source.go_on.set()
    await asyncio.to_thread(any_pool.shutdown)
    assert "OSError" in caplog.text
    assert "while closing" not in caplog.text, "a message may hold what was worked on"


async def test_a_full_pool_refuses_and_the_iterator_is_closed():
    go_on = threading.Event()
    with BoundedThreadPoolExecutor(1, 0) as pool:
        pool.submit(go_on.wait, 60)
        source = BlockingSource()
        with pytest.raises(SaturatedError):
            await anext(iterate_offloaded(source, pool))
        go_on.set()
    assert source.closed.is_set()


async def test_a_pool_that_is_shut_down_ends_an_iterator_that_waits_in_its_queue(any_pool):
    first, second = BlockingSource(hold_at=0), BlockingSource()
    running = iterate_offloaded(first, any_pool)
    reading = asyncio.create_task(anext(running))
    await asyncio.to_thread(first.holds.wait, 60)
    waiting = asyncio.create_task(anext(iterate_offloaded(second, any_pool)))
    await asyncio.sleep(0)
    any_pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(ClosedError):
        await waiting
    assert second.closed.is_set()
    first.go_on.set()
    assert await reading == 0
    await running.aclose()
