"""Requests collected into batches as they come, flushed and closed."""

import asyncio
import contextvars
import threading

import pytest

from xwe.core.concurrency.batch import AsyncBatchProcessor
from xwe.errors import ClosedError

user = contextvars.ContextVar("user", default="nobody")
NEVER_S = 3600.0  # a timeout that plays no part in the test


class Gate:
    """A `process_func` for batches that notes them and ends each when it is told to."""

    def __init__(self):
        self.batches = []
        self.running = 0
        self.most_running = 0
        self.open = asyncio.Event()
        self._begun = asyncio.Event()

    async def __call__(self, items):
        self.batches.append(items)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self._begun.set()
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        return [item * 10 for item in items]

    async def until_begun(self, count):
        while len(self.batches) < count:
            self._begun.clear()
            await self._begun.wait()


async def times_ten(items):
    await asyncio.sleep(0)
    return [item * 10 for item in items]


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_requests_leave_as_soon_as_a_batch_is_full():
    seen = []

    async def process(items):
        seen.append(items)
        return [item * 10 for item in items]

    async with AsyncBatchProcessor(process, batch_size=3, timeout=NEVER_S) as processor:
        futures = [await processor.add_request(item) for item in range(3)]
        assert await asyncio.gather(*futures) == [0, 10, 20]
    assert seen == [[0, 1, 2]]


async def test_a_batch_that_does_not_fill_leaves_after_the_timeout():
    async with AsyncBatchProcessor(times_ten, batch_size=100, timeout=0.01) as processor:
        futures = [await processor.add_request(item) for item in range(3)]
        assert await asyncio.gather(*futures) == [0, 10, 20]
        # So does the next one: the timer is set again.
        assert await (await processor.add_request(3)) == 30


def test_the_timeout_counts_from_the_oldest_request(in_virtual_time):
    async def main():
        gate = Gate()
        gate.open.set()
        async with AsyncBatchProcessor(gate, batch_size=3, timeout=10) as processor:
            await processor.add_request(0)
            await asyncio.sleep(9)
            await processor.add_request(1)
            assert gate.batches == []
            await asyncio.sleep(1.5)
            assert gate.batches == [[0, 1]]
            for item in (2, 3, 4):  # full: it leaves, and nothing is left to wait for
                await processor.add_request(item)
            await asyncio.sleep(0)
            assert gate.batches == [[0, 1], [2, 3, 4]]
            await asyncio.sleep(20)
            assert len(gate.batches) == 2

    in_virtual_time(main())


async def test_a_blocking_function_gets_the_list_in_a_thread():
    def process(items):
        return [(item, threading.get_ident()) for item in items]

    async with AsyncBatchProcessor(process, batch_size=2) as processor:
        futures = [await processor.add_request(item) for item in (1, 2)]
        first, second = await asyncio.gather(*futures)
    assert (first[0], second[0]) == (1, 2)
    assert threading.get_ident() not in (first[1], second[1])


async def test_no_more_batches_run_at_once_than_allowed_and_none_is_forgotten():
    gate = Gate()
    async with AsyncBatchProcessor(
        gate, batch_size=2, timeout=NEVER_S, max_concurrent_batches=2
    ) as processor:
        futures = [await processor.add_request(item) for item in range(10)]
        await gate.until_begun(2)
        await turns()
        assert gate.batches == [[0, 1], [2, 3]]
        gate.open.set()
        assert await asyncio.gather(*futures) == [item * 10 for item in range(10)]
    assert gate.most_running == 2
    assert len(gate.batches) == 5


async def test_requests_that_wait_for_room_fill_the_next_batch_together():
    gate = Gate()
    async with AsyncBatchProcessor(gate, batch_size=3, timeout=0) as processor:
        first = await processor.add_request(0)
        await gate.until_begun(1)
        rest = []
        for item in (1, 2, 3):  # each is overdue at once, but there is no room for it
            rest.append(await processor.add_request(item))
            await turns()
        gate.open.set()
        await asyncio.gather(first, *rest)
    assert gate.batches == [[0], [1, 2, 3]]


async def test_a_batch_that_fails_fails_its_own_futures_and_no_others():
    async def process(items):
        if 0 in items:
            raise LookupError("broken")
        return items

    async with AsyncBatchProcessor(process, batch_size=2, timeout=NEVER_S) as processor:
        futures = [await processor.add_request(item) for item in range(4)]
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError, LookupError, int, int]


@pytest.mark.parametrize("answer", [[1], [1, 2, 3], None, "ab", {1: 1, 2: 2}])
async def test_an_answer_that_does_not_fit_the_batch_fails_each_future_with_a_clear_error(answer):
    async def process(_items):
        return answer

    async with AsyncBatchProcessor(process, batch_size=2) as processor:
        futures = [await processor.add_request(item) for item in range(2)]
        for future in futures:
            with pytest.raises(ValueError, match="got 2 items and must return a list of as many"):
                await future


async def test_an_error_in_the_answer_fails_that_request_alone():
    async def process(items):
        return [LookupError("broken"), StopIteration(), asyncio.CancelledError(), items[3]]

    async with AsyncBatchProcessor(process, batch_size=4) as processor:
        futures = [await processor.add_request(item) for item in range(4)]
        results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [
        LookupError,
        RuntimeError,
        asyncio.CancelledError,
        int,
    ]


async def test_a_cancelled_request_is_dropped():
    gate = Gate()
    gate.open.set()
    async with AsyncBatchProcessor(gate, batch_size=100, timeout=NEVER_S) as processor:
        futures = [await processor.add_request(item) for item in range(3)]
        futures[1].cancel()
        await processor.flush()
        assert [futures[0].result(), futures[2].result()] == [0, 20]
    assert gate.batches == [[0, 2]]


async def test_a_request_cancelled_while_its_batch_runs_does_not_hurt_the_others():
    gate = Gate()
    async with AsyncBatchProcessor(gate, batch_size=2) as processor:
        futures = [await processor.add_request(item) for item in range(2)]
        await gate.until_begun(1)
        futures[0].cancel()
        gate.open.set()
        assert await futures[1] == 10


async def test_a_batch_of_nobody_is_not_sent():
    gate = Gate()
    async with AsyncBatchProcessor(gate, batch_size=2, timeout=NEVER_S) as processor:
        (await processor.add_request(0)).cancel()
        await processor.flush()
    assert gate.batches == []


async def test_a_collected_batch_runs_in_none_of_its_callers_contexts():
    seen = []

    async def process(items):
        seen.append(user.get())
        user.set("the batch")
        return items

    async with AsyncBatchProcessor(process, batch_size=2, timeout=NEVER_S) as processor:

        async def caller(name):
            user.set(name)
            return await (await processor.add_request(name))

        for pair in (("Ada", "Bob"), ("Cem", "Dee")):
            await asyncio.gather(*(asyncio.create_task(caller(name)) for name in pair))
    assert seen == ["nobody", "nobody"]
    assert user.get() == "nobody"


async def test_flush_sends_what_was_collected_and_waits_until_it_is_settled():
    async with AsyncBatchProcessor(times_ten, batch_size=2, timeout=NEVER_S) as processor:
        futures = [await processor.add_request(item) for item in range(5)]
        await processor.flush()
        assert [future.result() for future in futures] == [0, 10, 20, 30, 40]
        await processor.flush()


async def test_flush_does_not_wait_for_requests_that_come_later():
    gate = Gate()
    async with AsyncBatchProcessor(gate, batch_size=10, timeout=NEVER_S) as processor:
        first = await processor.add_request(0)
        flushing = asyncio.create_task(processor.flush())
        await gate.until_begun(1)
        second = await processor.add_request(1)
        gate.open.set()
        await flushing
        assert first.done()
        assert not second.done()


async def test_flush_leaves_a_failure_to_its_futures():
    async def process(_items):
        raise LookupError("broken")

    async with AsyncBatchProcessor(process, timeout=NEVER_S) as processor:
        future = await processor.add_request(1)
        await processor.flush()
        with pytest.raises(LookupError):
            await future


async def test_close_settles_what_is_under_way_and_refuses_what_comes_after():
    gate = Gate()
    processor = AsyncBatchProcessor(gate, batch_size=2, timeout=NEVER_S)
    futures = [await processor.add_request(item) for item in range(3)]
    closing = asyncio.create_task(processor.close())
    await gate.until_begun(1)
    with pytest.raises(ClosedError):
        await processor.add_request(3)
    with pytest.raises(RuntimeError):
        await processor.process_batch([1])
    gate.open.set()
    await closing
    await processor.close()
    assert [future.result() for future in futures] == [0, 10, 20]


def test_it_serves_one_loop_after_the_other_and_forgets_those_that_ended():
    processor = AsyncBatchProcessor(times_ten, batch_size=2)

    async def main():
        futures = [await processor.add_request(item) for item in (1, 2)]
        requested = await asyncio.gather(*futures)
        return requested, await processor.process_batch([[3]])

    for _ in range(3):
        assert asyncio.run(main()) == ([10, 20], [[30]])
    assert len(processor._collectors) == 1
    asyncio.run(processor.close())


def test_closing_from_another_loop_refuses_what_waits_and_finishes_what_runs():
    waits, may_end = threading.Event(), threading.Event()

    async def process(items):
        waits.set()
        await asyncio.to_thread(may_end.wait, 60)
        return items

    processor = AsyncBatchProcessor(process, batch_size=1, timeout=NEVER_S)

    async def main():
        futures = [await processor.add_request(item) for item in range(2)]
        return await asyncio.gather(*futures, return_exceptions=True)

    results = []
    thread = threading.Thread(target=lambda: results.extend(asyncio.run(main())))
    thread.start()
    assert waits.wait(60)
    asyncio.run(processor.close())
    may_end.set()
    thread.join(60)
    assert results[0] == 0
    assert isinstance(results[1], ClosedError)
