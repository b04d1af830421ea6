"""The resident loop: one a process, reached from any thread, and survived by whoever waits."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import weakref
from collections import deque
from concurrent.futures import CancelledError, wait

import pytest

from xwe.core.concurrency import loop_thread as module
from xwe.core.concurrency.loop_thread import LoopThread, close_loop_thread, get_loop_thread
from xwe.errors import ClosedError, DeadlineExceededError, LoopDeadlockError

user = contextvars.ContextVar("user")


@pytest.fixture
def thread():
    thread = LoopThread()
    yield thread
    thread.close()


async def echo(value):
    await asyncio.sleep(0)
    return value


class Waiting:
    """A coroutine that waits for ever, and tells when it began and how it ended."""

    def __init__(self):
        self.begun, self.ended = threading.Event(), threading.Event()
        self.error = None

    async def run(self):
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.error = error
            raise
        finally:
            await asyncio.sleep(0)  # a clean-up that takes a turn of the loop
            self.ended.set()


class Held:
    """Keeps a loop's thread for the length of a `with`."""

    def __init__(self, thread):
        self._thread, self._held, self._go = thread, threading.Event(), threading.Event()

    def _hold(self):
        self._held.set()
        assert self._go.wait(20)

    def __enter__(self):
        self._thread.loop.call_soon_threadsafe(self._hold)
        assert self._held.wait(20)
        return self

    def __exit__(self, *_):
        self._go.set()


def in_threads(count, func):
    """What `func(number)` returned or raised in each of `count` threads that begin together."""
    together = threading.Barrier(count)
    outcomes = [None] * count

    def run(number):
        together.wait(20)
        try:
            outcomes[number] = func(number)
        except BaseException as error:  # noqa: BLE001 - it is the outcome
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
        assert not each.is_alive(), "a thread hangs"
    return outcomes


# -- one loop


def test_all_threads_share_one_loop_even_when_they_are_all_the_first():
    close_loop_thread()
    loops = in_threads(16, lambda _: get_loop_thread().loop)
    assert len(set(loops)) == 1
    assert [each.name for each in threading.enumerate()].count("xwe-loop") == 1


def test_a_lock_contended_from_many_threads_works_because_there_is_one_loop(thread):
    lock, inside = asyncio.Lock(), []

    async def enter(number):
        async with lock:
            inside.append(number)
            await asyncio.sleep(0)
            assert inside.pop() == number
        return number

    assert in_threads(16, lambda number: thread.run(enter(number))) == list(range(16))


def test_importing_starts_nothing(in_fresh_interpreter):
    printed = in_fresh_interpreter(
        """
        import asyncio, sys, threading
        made = []
        asyncio.new_event_loop = lambda: made.append(1)
        import xwe.core.concurrency.bridge
        import xwe.core.concurrency.executor
        import xwe.core.concurrency.iteration
        print(threading.active_count(), len(made), "uvloop" in sys.modules)
        """
    )
    assert printed == ["1", "0", "False"]


def test_the_loop_is_uvloop_where_that_installs(thread):
    uvloop = pytest.importorskip("uvloop")
    assert isinstance(thread.loop, uvloop.Loop)


def test_the_loop_is_plain_asyncio_where_uvloop_does_not_install(thread, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert thread.run(echo(1)) == 1
    assert isinstance(thread.loop, asyncio.SelectorEventLoop)


def test_a_thread_that_cannot_be_started_is_an_error_and_no_end(thread, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setitem(sys.modules, "uvloop", None)  # asyncio's own warns when it was not closed
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            thread.run(echo(1))
    gc.collect()
    assert thread.run(echo(1)) == 1


# -- run


def test_run_gives_back_the_result_and_raises_the_error_of_the_coroutine(thread):
    async def fail():
        raise KeyError("missing")

    assert thread.run(echo(5)) == 5
    with pytest.raises(KeyError, match="missing"):
        thread.run(fail())


def test_run_refuses_what_is_no_coroutine_instead_of_hanging(thread):
    class NoCoroutine:
        def close(self):
            pass

    with pytest.raises(TypeError, match="coroutine"):
        thread.run(NoCoroutine())


def test_the_coroutine_sees_the_callers_context_and_leaves_it_alone(thread):
    user.set("ann")

    async def look():
        before = user.get()
        user.set("bob")
        return before

    assert thread.run(look()) == "ann"
    assert thread.submit(look()).result(20) == "ann"
    assert user.get() == "ann"


def test_a_given_context_is_used_even_when_it_is_empty(thread):
    context = contextvars.Context()

    async def write():
        user.set("bob")

    thread.run(write(), context=context)
    assert context[user] == "bob"


def test_waiting_on_the_loops_own_thread_is_an_error_instead_of_a_deadlock(thread):
    async def outer():
        return thread.run(echo(1))

    with pytest.raises(LoopDeadlockError, match="await"):
        thread.run(outer())
    assert thread.run(echo(1)) == 1


def test_a_timeout_cancels_the_work(thread):
    work = Waiting()
    with pytest.raises(DeadlineExceededError, match=r"0\.05 s") as caught:
        thread.run(work.run(), 0.05)
    assert isinstance(caught.value, TimeoutError)
    assert work.ended.wait(20)
    assert isinstance(work.error, asyncio.CancelledError)


def test_work_that_times_out_before_it_begins_never_begins(thread):
    work = Waiting()
    with Held(thread), pytest.raises(DeadlineExceededError):
        thread.run(work.run(), 0.01)
    thread.run(echo(1))
    gc.collect()  # a coroutine that was forgotten would warn now
    assert not work.begun.is_set()


def test_a_timeout_of_the_coroutines_own_is_not_mistaken_for_the_deadline(thread):
    async def give_up():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        thread.run(give_up(), 20)
    assert not isinstance(caught.value, DeadlineExceededError)


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e12])
def test_a_timeout_of_any_length_is_taken(thread, timeout_s):
    assert thread.run(echo(1), timeout_s) == 1


def test_a_result_that_comes_as_the_waiter_gives_up_is_dropped(thread, monkeypatch):
    class Late(module.WaitedCall):
        def wait(self, timeout_s):
            return not super().wait(timeout_s)

    with monkeypatch.context() as patch:
        patch.setattr(module, "WaitedCall", Late)
        with pytest.raises(DeadlineExceededError):
            thread.run(echo("late"), 20)
    assert thread.run(echo("next")) == "next"


def test_ctrl_c_in_the_waiting_thread_cancels_the_work(thread, ctrl_c):
    work = Waiting()
    with ctrl_c(work.begun):
        thread.run(work.run())
    assert work.ended.wait(20)
    assert isinstance(work.error, asyncio.CancelledError)


def test_a_coroutine_that_is_cancelled_from_inside_raises_that_and_does_not_hang(thread):
    async def cancel_all():
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        thread.run(cancel_all())


def test_a_task_that_is_cancelled_before_its_first_step_does_not_leave_its_caller_waiting(thread):
    def cancel_all():
        for task in asyncio.all_tasks(thread.loop):
            task.cancel()

    thread.run(echo(0))
    hand_over, handed_over = thread._hand_over, threading.Event()

    def hand_over_and_cancel(loop, call):
        hand_over(loop, call)
        # In the same turn of the held loop as the call's start, and so before its first step.
        loop.call_soon_threadsafe(cancel_all)
        handed_over.set()

    thread._hand_over = hand_over_and_cancel
    outcomes = []
    with Held(thread):
        caller = threading.Thread(
            target=lambda: outcomes.extend(in_threads(1, lambda _: thread.run(echo(1))))
        )
        caller.start()
        assert handed_over.wait(20)
    caller.join(20)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError]


def test_sys_exit_in_a_coroutine_reaches_its_caller_and_not_the_loop(thread):
    async def leave():
        await asyncio.sleep(0)
        sys.exit(3)

    loop = thread.loop
    with pytest.raises(SystemExit):
        thread.run(leave())
    assert thread.run(echo(1)) == 1
    assert thread.loop is loop


def test_a_task_that_exits_or_stops_the_loop_does_not_take_it_from_the_others(thread, caplog):
    async def attack():
        task = asyncio.create_task(leave())
        await asyncio.sleep(0)
        with pytest.raises(SystemExit):
            task.result()
        asyncio.get_running_loop().stop()

    async def leave():
        sys.exit(3)

    work = thread.submit(echo(1))
    thread.run(attack())
    assert work.result(20) == 1
    assert thread.run(echo(2)) == 2
    assert "SystemExit" in caplog.text


# -- submit


def test_cancelling_a_submitted_future_cancels_its_coroutine(thread):
    work = Waiting()
    future = thread.submit(work.run())
    assert work.begun.wait(20)
    assert future.cancel()
    assert work.ended.wait(20)
    assert wait([future], 20).done == {future}


def test_a_future_cancelled_before_its_coroutine_began_is_done_all_the_same(thread):
    work = Waiting()
    with Held(thread):
        future = thread.submit(work.run())
        future.cancel()
    assert wait([future], 20).done == {future}
    gc.collect()
    assert not work.begun.is_set()


def test_a_submitted_coroutine_that_is_cancelled_cancels_its_future(thread):
    async def give_up():
        raise asyncio.CancelledError

    with pytest.raises(CancelledError):
        thread.submit(give_up()).result(20)


def test_what_follows_a_future_sees_the_context_of_its_submitter(thread):
    """Calls that came together begin in one turn of the loop, which is one caller's."""
    seen, done = {}, threading.Semaphore(0)

    def submit(number):
        user.set(f"user {number}")
        future = thread.submit(echo(number))
        future.add_done_callback(look)

    def look(future):
        seen[future.result()] = user.get()
        done.release()

    with Held(thread):
        in_threads(4, submit)
    for _ in range(4):
        assert done.acquire(timeout=20)
    assert seen == {number: f"user {number}" for number in range(4)}


def test_submit_may_be_called_on_the_loops_own_thread(thread):
    async def outer():
        return await asyncio.wrap_future(thread.submit(echo(7)))

    assert thread.run(outer()) == 7


# -- close


def test_close_gives_every_waiting_thread_a_clear_error(thread):
    works = [Waiting() for _ in range(16)]

    def wait_for(number):
        work = works[number]
        return thread.submit(work.run()).result(20) if number % 2 else thread.run(work.run())

    def close(number):
        for work in works:
            assert work.begun.wait(20)
        thread.close()

    outcomes = in_threads(17, lambda number: (close if number == 16 else wait_for)(number))
    assert [type(outcome) for outcome in outcomes] == [ClosedError] * 16 + [type(None)]
    assert all(isinstance(work.error, asyncio.CancelledError) for work in works)
    assert all(work.ended.is_set() for work in works)


@pytest.mark.parametrize("instant", ["before the hand-over", "in the middle of it", "after it"])
def test_a_call_handed_over_while_the_loop_closes_is_turned_away(thread, instant):
    class Closing(deque):
        def append(self, call):
            if instant == "in the middle of it":
                thread.close()
            super().append(call)

    hand_over = thread._hand_over

    def closing_hand_over(loop, call):
        if instant == "before the hand-over":
            thread.close()
        hand_over(loop, call)
        if instant == "after it":
            thread.close()

    thread.run(echo(0))
    thread._incoming, thread._hand_over = Closing(), closing_hand_over
    work = Waiting()
    with pytest.raises(ClosedError):
        thread.run(work.run())
    gc.collect()  # a coroutine that was forgotten would warn now


def test_a_call_that_begins_while_the_loop_closes_gets_the_same_error(thread):
    closing = threading.Event()

    class Slow(deque):
        def popleft(self):
            call = super().popleft()
            closer.start()
            assert closing.wait(20)
            return call

    fail_waited_for = thread._fail_waited_for

    def fail_and_tell():
        fail_waited_for()
        closing.set()

    closer = threading.Thread(target=thread.close)
    thread.run(echo(0))
    thread._incoming, thread._fail_waited_for = Slow(), fail_and_tell
    with pytest.raises(ClosedError):
        thread.run(Waiting().run())
    closer.join(20)


def test_close_under_load_leaves_nobody_waiting(thread):
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


def test_close_does_not_leave_callers_waiting_for_a_blocked_loop(thread, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.02)
    work = Waiting()
    running = thread.submit(work.run())
    assert work.begun.wait(20)
    with Held(thread):
        waiting = thread.submit(echo(1))
        thread.close()
        assert isinstance(running.exception(0), ClosedError)
        assert isinstance(waiting.exception(0), ClosedError)
    assert work.ended.wait(20)


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
        "submit": lambda payload: thread.submit(succeed(payload)).result(20),
        "submitted error": lambda payload: thread.submit(fail(payload)).result(20),
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


# -- the watchdog


def test_the_watchdog_names_what_blocks_the_loop_and_the_lag_shows_it(caplog):
    logged, go, looks = threading.Event(), threading.Event(), threading.Semaphore(0)

    class Looked(threading.Event):
        def wait(self, timeout=None):
            looks.release()
            return super().wait(timeout)

    async def hogging():
        assert go.wait(20)

    def told(record):
        logged.set()
        return True

    thread = LoopThread(stall_after_s=0.04)
    thread._watchdog._stopping = Looked()
    module.log.addFilter(told)
    try:
        assert thread.lag_s == 0
        work = thread.submit(hogging())
        assert logged.wait(20)
        assert thread.lag_s >= 0.04
        while looks.acquire(blocking=False):
            pass
        for _ in range(3):
            assert looks.acquire(timeout=20)
        go.set()
        work.result(20)
        thread.run(echo(1))
        assert thread.lag_s >= 0.04, "the lag of the last look stays until the next"
        while thread.lag_s >= 0.04:
            assert looks.acquire(timeout=20)
    finally:
        module.log.removeFilter(told)
        thread.close()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "in hogging" in warnings[0]
