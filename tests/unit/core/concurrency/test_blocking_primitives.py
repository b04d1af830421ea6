"""Locks, semaphores, events and queues that threads and coroutines share."""

import asyncio
import queue
import subprocess
import sys
import threading
import time
from concurrent import futures

import pytest

from xwe.core.concurrency import blocking
from xwe.core.concurrency.blocking import tasks


@pytest.fixture
def pool():
    with futures.ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def in_line(monkeypatch):
    """A semaphore that counts those who have begun to wait."""
    joined = threading.Semaphore(0)

    def telling(wait):
        async def tell_and_wait(native):
            joined.release()
            return await wait(native)

        return tell_and_wait

    monkeypatch.setattr(asyncio.Lock, "acquire", telling(asyncio.Lock.acquire))
    monkeypatch.setattr(asyncio.Event, "wait", telling(asyncio.Event.wait))
    monkeypatch.setattr(asyncio.Queue, "get", telling(asyncio.Queue.get))
    return joined


def test_a_lock_is_shared_by_threads_the_resident_loop_and_another_loop(pool):
    lock, inside, most, total = blocking.Lock(), 0, 0, 0

    def enter():
        nonlocal inside, most, total
        inside += 1
        most = max(most, inside)
        total += 1

    def leave():
        nonlocal inside
        inside -= 1

    def by_thread():
        for _ in range(50):
            with lock:
                enter()
                leave()

    async def by_coroutine():
        for _ in range(50):
            async with lock:
                enter()
                await asyncio.sleep(0)
                leave()

    jobs = [pool.submit(by_thread) for _ in range(2)]
    jobs += [pool.submit(blocking.run, by_coroutine()), pool.submit(asyncio.run, by_coroutine())]
    for job in jobs:
        job.result(60)
    assert (most, total) == (1, 200)
    assert not lock.locked()


def test_those_who_wait_are_served_in_the_order_in_which_they_came(pool, in_line):
    lock, served = blocking.Lock(), []

    def by_thread(name):
        with lock:
            served.append(name)

    async def by_coroutine(name):
        async with lock:
            served.append(name)

    lock.acquire()
    in_line.acquire()
    jobs = []
    for name in range(6):
        if name % 2:
            jobs.append(pool.submit(blocking.run, by_coroutine(name)))
        else:
            jobs.append(pool.submit(by_thread, name))
        in_line.acquire()
    lock.release()
    futures.wait(jobs)
    assert served == [0, 1, 2, 3, 4, 5]


def test_a_semaphore_lets_as_many_in_as_its_value():
    semaphore = blocking.Semaphore(2)
    assert semaphore.acquire(timeout=0)
    assert semaphore.acquire(timeout=0)
    assert semaphore.locked()
    assert not semaphore.acquire(timeout=0)
    semaphore.release()
    assert semaphore.acquire(timeout=0)
    with pytest.raises(ValueError, match="value"):
        blocking.Semaphore(-1)


def test_a_lock_that_is_not_held_cannot_be_released():
    with pytest.raises(RuntimeError, match="not acquired"):
        blocking.Lock().release()


def test_a_waiter_that_gives_up_is_not_served():
    lock = blocking.Lock()
    lock.acquire()
    assert not lock.acquire(timeout=0.001)
    lock.release()
    assert not lock.locked()


def test_a_waiter_served_in_the_moment_of_its_timeout_knows_whether_it_has_the_lock(pool, in_line):
    """The turn comes after the timeout has passed and before the loop has seen that."""
    lock = blocking.Lock()
    lock.acquire()
    in_line.acquire()
    waiting = pool.submit(lock.acquire, timeout=0.01)
    in_line.acquire()

    def release_late():
        time.sleep(0.05)
        lock.release()

    blocking.get_running_loop().call_soon_threadsafe(release_late)
    assert waiting.result(60) is lock.locked()


def test_a_lock_given_to_a_coroutine_as_it_is_cancelled_is_released_again():
    async def main():
        lock = blocking.Lock()
        await lock.acquire_async()
        waiting = asyncio.create_task(lock.acquire_async())
        await asyncio.sleep(0)
        lock.release()  # it is the waiter's turn, and the waiter has not been told yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not lock.locked()

    blocking.run(main())
    asyncio.run(main())


def test_a_thread_interrupted_as_it_is_served_gives_back_what_it_got(monkeypatch):
    def served_and_interrupted(waited_for, _timeout):
        wait(waited_for, 60)
        raise KeyboardInterrupt

    lock, items, wait = blocking.Lock(), blocking.Queue(), futures.wait
    items.put("first")
    items.put("second")
    monkeypatch.setattr(futures, "wait", served_and_interrupted)
    for interrupted in (lock.acquire, items.get):
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    monkeypatch.undo()
    assert not lock.locked()
    assert [items.get(), items.get()] == ["first", "second"]


def test_what_a_cancelled_coroutine_got_goes_to_the_one_behind_it():
    async def main():
        lock = blocking.Lock()
        await lock.acquire_async()
        first, second = (asyncio.create_task(lock.acquire_async()) for _ in range(2))
        await asyncio.sleep(0)
        lock.release()
        first.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        assert not second.cancelled()
        assert lock.locked()

    blocking.run(asyncio.wait_for(main(), 20))


def test_an_event_wakes_threads_and_coroutines_alike(pool, in_line):
    event = blocking.Event()
    waiting = [pool.submit(event.wait), pool.submit(blocking.run, event.wait_async())]
    for _ in waiting:
        in_line.acquire()
    assert not event.wait(timeout=0.001)
    event.set()
    assert waiting[0].result(60) is True
    assert waiting[1].result(60) is None
    assert event.is_set()
    event.clear()
    assert not event.wait(timeout=0)


def test_a_queue_goes_between_threads_and_coroutines_in_order(pool):
    items = blocking.Queue(maxsize=2)

    async def produce():
        for number in range(100):
            await items.put_async(number)

    async def double():
        for _ in range(100):
            await results.put_async(2 * await items.get_async())
            items.task_done()

    results = blocking.Queue()
    producing = pool.submit(blocking.run, produce())
    doubling = pool.submit(asyncio.run, double())
    assert [results.get(timeout=60) for _ in range(100)] == [2 * number for number in range(100)]
    producing.result(60)
    doubling.result(60)
    assert items.join(timeout=60)
    assert not results.join(timeout=0.001)


def test_a_queue_raises_what_the_standard_library_raises():
    items = blocking.Queue(maxsize=1)
    with pytest.raises(queue.Empty):
        items.get_nowait()
    with pytest.raises(queue.Empty):
        items.get(timeout=0.001)
    items.put_nowait(1)
    assert (items.qsize(), items.full(), items.empty()) == (1, True, False)
    with pytest.raises(queue.Full):
        items.put_nowait(2)
    with pytest.raises(queue.Full):
        items.put(2, timeout=0.001)
    assert items.get() == 1
    items.task_done()
    with pytest.raises(ValueError, match="task_done"):
        items.task_done()


def test_a_putter_that_gives_up_has_put_nothing():
    items = blocking.Queue(maxsize=1)
    items.put(1)
    with pytest.raises(queue.Full):
        items.put(2, timeout=0.001)
    assert items.get() == 1
    assert items.empty()


def test_an_item_given_to_a_coroutine_as_it_is_cancelled_goes_to_the_next_in_order():
    async def main():
        items = blocking.Queue()
        first = asyncio.create_task(items.get_async())
        await asyncio.sleep(0)
        items.put_nowait("a")
        items.put_nowait("b")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return items.get_nowait(), items.get_nowait()

    assert blocking.run(main()) == ("a", "b")


def test_a_thread_waits_no_longer_than_told_when_the_loop_is_blocked(blocked_loop, monkeypatch):
    """And what it gets once the loop turns again goes back."""
    monkeypatch.setattr(tasks, "SETTLE_WITHIN_S", 0.01)
    lock, items = blocking.Lock(), blocking.Queue(maxsize=1)
    assert not lock.acquire(timeout=0.001)
    with pytest.raises(queue.Full):
        items.put(1, timeout=0.001)
    blocked_loop.set()
    assert lock.acquire(timeout=60)
    assert items.put(1, timeout=60) is None


def test_an_item_whose_getter_has_gone_is_the_first_again(pool, in_line, monkeypatch):
    """The getter gives up after its coroutine has the item and before it is told."""
    monkeypatch.setattr(tasks, "SETTLE_WITHIN_S", 0.01)
    items, may_go_on = blocking.Queue(), threading.Event()
    loop = blocking.get_running_loop()

    def put_and_block():
        items.put_nowait("first")
        loop.call_soon(may_go_on.wait, 60)  # after the coroutine's turn

    getting = pool.submit(items.get, timeout=0.5)
    in_line.acquire()
    loop.call_soon_threadsafe(put_and_block)
    with pytest.raises(queue.Empty):
        getting.result(60)
    may_go_on.set()
    items.put("second")
    assert [items.get(timeout=60), items.get(timeout=60)] == ["first", "second"]


def test_a_forked_child_gets_its_own_loop_and_uses_what_was_made_before(tmp_path):
    script = tmp_path / "forking.py"
    script.write_text(
        "import asyncio, os\n"
        "from xwe.core.concurrency import blocking\n"
        "async def echo(value):\n"
        "    await asyncio.sleep(0)\n"
        "    return value\n"
        "lock, items = blocking.Lock(), blocking.Queue()\n"
        "with lock:\n"
        "    items.put(blocking.run(echo(1)))\n"
        "child = os.fork()\n"
        "with lock, blocking.timeout(60):\n"
        "    assert blocking.run(echo(items.get())) == 1\n"
        "if child == 0:\n"
        "    os._exit(0)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, str(script)], check=False, timeout=100)
    assert done.returncode == 0


def test_importing_and_making_primitives_starts_nothing():
    script = (
        "import threading\n"
        "from xwe.core.concurrency import batch, blocking, gather, rate_limit, request_queue\n"
        "blocking.Lock(), blocking.Event(), blocking.Queue(), blocking.Future()\n"
        "rate_limit.RateLimiter(1, 1.0), request_queue.AsyncRequestQueue()\n"
        "batch.AsyncBatchProcessor(len)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100)
