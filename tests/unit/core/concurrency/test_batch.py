"""A list worked off item by item: order, limits, errors in their places."""

import asyncio
import contextvars
import threading

import pytest

from xwe.core.concurrency.batch import AsyncBatchProcessor

user = contextvars.ContextVar("user", default="nobody")


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_asynchronous_function_gets_each_item_and_the_results_keep_their_order():
    async def process(item):
        await asyncio.sleep(0)
        return item * 10

    async with AsyncBatchProcessor(process, batch_size=2, max_workers=3) as processor:
        assert await processor.process_batch(range(7)) == [0, 10, 20, 30, 40, 50, 60]
        assert await processor.process_batch([]) == []


async def test_a_blocking_function_runs_in_threads_with_the_callers_context():
    def process(item):
        return item, user.get(), threading.get_ident()

    user.set("Ada")
    async with AsyncBatchProcessor(process, max_workers=2) as processor:
        results = await processor.process_batch("abc")
    assert [result[:2] for result in results] == [("a", "Ada"), ("b", "Ada"), ("c", "Ada")]
    assert threading.get_ident() not in {result[2] for result in results}


async def test_an_item_that_fails_leaves_its_error_in_its_place_and_nothing_is_lost():
    async def process(item):
        if item == 1:
            raise LookupError("broken")
        return item

    async with AsyncBatchProcessor(process) as processor:
        results = await processor.process_batch(range(3))
        with pytest.raises(LookupError):
            await processor.process_batch(range(3), return_exceptions=False)
    assert results[0::2] == [0, 2]
    assert isinstance(results[1], LookupError)


async def test_no_more_than_max_workers_are_at_work_also_over_two_calls():
    working = most = 0
    may_end = asyncio.Event()

    async def process(item):
        nonlocal working, most
        working += 1
        most = max(most, working)
        await may_end.wait()
        working -= 1
        return item

    async with AsyncBatchProcessor(process, max_workers=3) as processor:
        calls = [asyncio.create_task(processor.process_batch(range(5))) for _ in range(2)]
        await turns()
        assert working == 3
        may_end.set()
        assert await asyncio.gather(*calls) == [[0, 1, 2, 3, 4]] * 2
    assert most == 3


async def test_blocking_items_are_at_work_at_the_same_time_up_to_max_workers():
    together = threading.Barrier(3)  # breaks the test unless three threads meet

    def process(item):
        together.wait(60)
        return item

    async with AsyncBatchProcessor(process, max_workers=3) as processor:
        assert await processor.process_batch(range(6)) == [0, 1, 2, 3, 4, 5]


async def test_cancelling_a_batch_ends_its_items():
    ended = []

    async def process(item):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    async with AsyncBatchProcessor(process, max_workers=2) as processor:
        call = asyncio.create_task(processor.process_batch(range(10)))
        await turns()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert sorted(ended) == [0, 1]


async def test_close_waits_for_a_list_that_is_in_work_and_ends_the_threads():
    begun, may_end = threading.Event(), threading.Event()
    threads = set()

    def process(item):
        threads.add(threading.current_thread())
        begun.set()
        may_end.wait(60)
        return item

    processor = AsyncBatchProcessor(process, max_workers=2)
    call = asyncio.create_task(processor.process_batch(range(4)))
    await asyncio.to_thread(begun.wait, 60)
    closing = asyncio.create_task(processor.close())
    await turns()
    assert not closing.done()
    may_end.set()
    await closing
    assert await call == [0, 1, 2, 3]
    assert threads
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(
    "figures",
    [{"batch_size": 0}, {"timeout": -1}, {"max_concurrent_batches": 0}, {"max_workers": 0}],
)
def test_figures_that_make_no_sense_are_refused(figures):
    with pytest.raises(ValueError, match="at least"):
        AsyncBatchProcessor(len, **figures)
