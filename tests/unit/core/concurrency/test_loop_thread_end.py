"""What is handed over to a loop ends, also when the loop does, and leaves nothing behind."""

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref
from collections import deque
from concurrent.futures import CancelledError, wait

import pytest

from xwe.core.concurrency import loop_thread as module
from xwe.core.concurrency.loop_thread import close_loop_thread, get_loop_thread
from xwe.errors import ClosedError, DeadlineExceededError, LoopDeadlockError

user = contextvars.ContextVar("user")


async def echo(value):
    await asyncio.sleep(0)
    return value


# -- submit


def test_cancelling_a_submitted_future_cancels_its_coroutine(thread, new_work):
    work = new_work()
    future = thread.submit(work.run())
    assert work.begun.wait(60)
    assert future.cancel()
    assert work.ended.wait(60)
    assert wait([future], 20).done == {future}


def test_a_future_cancelled_before_its_coroutine_began_is_done_all_the_same(thread, new_work, hold):
    work = new_work()
    with hold(thread):
        future = thread.submit(work.run())
        future.cancel()
    assert wait([future], 20).done == {future}
    gc.collect()
    assert not work.begun.is_set()


def test_a_submitted_coroutine_that_is_cancelled_cancels_its_future(thread):
    async def give_up():
        raise asyncio.CancelledError

    with pytest.raises(CancelledError):
        thread.submit(give_up()).result(60)


def test_what_follows_a_future_sees_the_context_of_its_submitter(thread, hold, in_threads):
    """Calls that came together begin in one turn of the loop, which is one caller's."""
    seen, done = {}, threading.Semaphore(0)

    def submit(number):
        user.set(f"user {number}")
        future = thread.submit(echo(number))
        future.add_done_callback(look)

    def look(future):
        seen[future.result()] = user.get()
        done.release()

    with hold(thread):
        in_threads(4, submit)
    for _ in range(4):
        assert done.acquire(timeout=60)
    assert seen == {number: f"user {number}" for number in range(4)}


def test_submit_may_be_called_on_the_loops_own_thread(thread):
    async def outer():
        return await asyncio.wrap_future(thread.submit(echo(7)))

    assert thread.run(outer()) == 7


# -- close


def test_close_gives_every_waiting_thread_a_clear_error(thread, new_work, in_threads):
    works = [new_work() for _ in range(16)]

    def wait_for(number):
        work = works[number]
        return thread.submit(work.run()).result(60) if number % 2 else thread.run(work.run())

    def close(number):
        for work in works:
            assert work.begun.wait(60)
        thread.close()

    outcomes = in_threads(17, lambda number: (close if number == 16 else wait_for)(number))
    assert [type(outcome) for outcome in outcomes] == [ClosedError] * 16 + [type(None)]
    assert all(isinstance(work.error, asyncio.CancelledError) for work in works)
    assert all(work.ended.is_set() for work in works)


@pytest.mark.parametrize("instant", ["before the hand-over", "in the middle of it", "after it"])
def test_a_call_handed_over_while_the_loop_closes_is_turned_away(thread, instant, new_work):
    class Closing(deque):
        def append(self, call):
            if instant == "in the middle of it":
                thread.close()
            super().append(call)

    start = thread.start

    def closing_start(call):
        if instant == "before the hand-over":
            thread.close()
        start(call)
        if instant == "after it":
            thread.close()

    thread.run(echo(0))
    thread._incoming, thread.start = Closing(), closing_start
    work = new_work()
    with pytest.raises(ClosedError):
        thread.run(work.run())
    gc.collect()  # a coroutine that was forgotten would warn now


def test_a_call_that_begins_while_the_loop_closes_gets_the_same_error(thread, new_work):
    closing = threading.Event()

    class Slow(deque):
        def popleft(self):
            call = super().popleft()
            closer.start()
            assert closing.wait(60)
            return call

    fail_waited_for = thread._fail_waited_for

    def fail_and_tell():
        fail_waited_for()
        closing.set()

    closer = threading.Thread(target=thread.close)
    thread.run(echo(0))
    thread._incoming, thread._fail_waited_for = Slow(), fail_and_tell
    with pytest.raises(ClosedError):
        thread.run(new_work().run())
    closer.join(60)


def test_close_under_load_leaves_nobody_waiting(thread, in_threads):
    def call(number):
        if number == 0:
            thread.close()
            return None
        try:
            while True:
                thread.run(echo(number))
        except ClosedError as error:
            return error

    outcomes = in_threads(9, call)
    assert [type(outcome) for outcome in outcomes[1:]] == [ClosedError] * 8


def test_close_does_not_leave_callers_waiting_for_a_blocked_loop(
    thread, monkeypatch, new_work, hold
):
    monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.02)
    work = new_work()
    running = thread.submit(work.run())
    assert work.begun.wait(60)
    with hold(thread):
        waiting = thread.submit(echo(1))
        thread.close()
        assert isinstance(running.exception(0), ClosedError)
        assert isinstance(waiting.exception(0), ClosedError)
        del running
        gc.collect()  # what the loop has still to end is no garbage, though nobody waits for it
    assert work.ended.wait(60)


def test_close_lets_tasks_clean_up_and_their_clean_up_make_new_ones(thread):
    ended = []

    async def last_words():
        await asyncio.sleep(0)
        ended.append("task")

    async def produce():
        try:
            yield 1
        finally:
            ended.append("generator")

    async def work():
        generator = produce()
        await anext(generator)
        background.append(generator)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.create_task(last_words())

    async def begin():
        background.append(asyncio.create_task(work()))
        await asyncio.sleep(0)

    background = []
    thread.run(begin())
    thread.close()
    assert ended == ["task", "generator"]


def test_a_task_that_will_not_end_does_not_hold_up_close(thread, monkeypatch, caplog):
    monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.02)
    over = False

    async def stubborn():
        while not over:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    future = thread.submit(stubborn())
    thread.run(echo(1))
    thread.close()
    assert isinstance(future.exception(0), ClosedError)
    over = True  # the coroutine ends when it is collected


def test_a_closed_thread_says_so_and_closes_what_it_is_given(thread):
    thread.close()
    thread.close()
    for call in (thread.run, thread.submit):
        with pytest.raises(ClosedError):
            call(echo(1))
    gc.collect()


def test_a_thread_that_never_ran_closes_too(thread):
    thread.close()
    assert thread.is_closed
    with pytest.raises(ClosedError):
        thread.run(echo(1))


def test_the_loop_cannot_close_itself(thread):
    async def close():
        thread.close()

    with pytest.raises(LoopDeadlockError):
        thread.run(close())
    assert thread.run(echo(1)) == 1


@pytest.mark.parametrize("close", [close_loop_thread, lambda: get_loop_thread().close()])
def test_a_closed_resident_loop_is_followed_by_a_new_one(close):
    before = get_loop_thread()
    close()
    assert get_loop_thread() is not before
    assert get_loop_thread().run(echo(1)) == 1


# -- what is left behind


def test_nothing_of_a_call_outlives_it_not_even_until_the_garbage_collector_comes(thread):
    class Payload:
        pass

    async def succeed(payload):
        await asyncio.sleep(0)
        return payload

    async def fail(payload):
        await asyncio.sleep(0)
        raise ValueError

    async def linger(payload):
        await asyncio.Event().wait()

    def left_by(call):
        payload = Payload()
        with contextlib.suppress(ValueError, DeadlineExceededError):
            call(payload)
        return weakref.ref(payload)

    calls = {
        "result": lambda payload: thread.run(succeed(payload)),
        "error": lambda payload: thread.run(fail(payload)),
        "timeout": lambda payload: thread.run(linger(payload), 0.01),
        "submit": lambda payload: thread.submit(succeed(payload)).result(60),
        "submitted error": lambda payload: thread.submit(fail(payload)).result(60),
        "cancelled": lambda payload: thread.submit(linger(payload)).cancel(),
    }
    thread.run(echo(1))
    gc.collect()
    gc.disable()
    try:
        left = {name: left_by(call) for name, call in calls.items()}
        for _ in range(5):
            thread.run(echo(None))  # the loop has let go of it too
        assert {name for name, ref in left.items() if ref() is not None} == set()
    finally:
        gc.enable()
