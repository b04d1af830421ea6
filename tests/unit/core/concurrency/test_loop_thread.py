"""The resident loop: one a process, reached from any thread, and survived by whoever waits."""

import asyncio
import contextvars
import gc
import logging
import socket
import sys
import threading
import time

import pytest

from xwe.core.concurrency import loop_thread as module
from xwe.core.concurrency.loop_thread import LoopThread, close_loop_thread, get_loop_thread
from xwe.core.concurrency.watchdog import Watchdog
from xwe.errors import DeadlineExceededError, LoopDeadlockError

user = contextvars.ContextVar("user")


async def echo(value):
    await asyncio.sleep(0)
    return value


# -- one loop


def test_all_threads_share_one_loop_even_when_they_are_all_the_first(in_threads):
    close_loop_thread()
    before = set(threading.enumerate())  # the thread of a loop that was closed may still be ending
    loops = in_threads(16, lambda _: get_loop_thread().loop)
    assert len(set(loops)) == 1
    begun = [each.name for each in threading.enumerate() if each not in before]
    assert begun.count("xwe-loop") == 1


def test_a_lock_contended_from_many_threads_works_because_there_is_one_loop(thread, in_threads):
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
    assert thread.submit(look()).result(60) == "ann"
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


@pytest.fixture
def deadline_after(monkeypatch):
    """Lets the deadline of a call pass as soon as an event is set, and not before."""

    def pass_after(event):
        class Timed(module.WaitedCall):
            def wait(self, timeout_s):
                if timeout_s is None:
                    return super().wait(None)
                assert event.wait(60)
                return False

        monkeypatch.setattr(module, "WaitedCall", Timed)

    return pass_after


def test_a_timeout_cancels_the_work(thread, new_work, deadline_after):
    work = new_work()
    deadline_after(work.begun)
    with pytest.raises(DeadlineExceededError, match=r"0\.5 s") as caught:
        thread.run(work.run(), 0.5)
    assert isinstance(caught.value, TimeoutError)
    assert work.ended.wait(60)
    assert isinstance(work.error, asyncio.CancelledError)


def test_a_timeout_closes_the_connection_that_the_work_has_open(thread, deadline_after):
    begun = threading.Event()

    async def call(reader, writer):
        begun.set()
        try:
            await reader.read()
        finally:
            writer.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = thread.run(asyncio.open_connection(*server.getsockname()))
        upstream, _ = server.accept()
        with upstream:
            deadline_after(begun)
            with pytest.raises(DeadlineExceededError):
                thread.run(call(*connection), 0.5)
            upstream.settimeout(20)
            assert upstream.recv(1) == b""


def test_work_that_times_out_before_it_begins_never_begins(thread, new_work, hold):
    work = new_work()
    with hold(thread), pytest.raises(DeadlineExceededError):
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


def test_ctrl_c_in_the_waiting_thread_cancels_the_work(thread, ctrl_c, new_work):
    work = new_work()
    with ctrl_c(work.begun):
        thread.run(work.run())
    assert work.ended.wait(60)
    assert isinstance(work.error, asyncio.CancelledError)


def test_a_coroutine_that_is_cancelled_from_inside_raises_that_and_does_not_hang(thread):
    async def cancel_all():
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        thread.run(cancel_all())


def test_a_task_that_is_cancelled_before_its_first_step_does_not_leave_its_caller_waiting(
    thread, hold, in_threads
):
    def cancel_all():
        for task in asyncio.all_tasks(thread.loop):
            task.cancel()

    thread.run(echo(0))
    start, handed_over = thread.start, threading.Event()

    def start_and_cancel(call):
        start(call)
        # In the same turn of the held loop as the call's start, and so before its first step.
        thread.loop.call_soon_threadsafe(cancel_all)
        handed_over.set()

    thread.start = start_and_cancel
    outcomes = []
    with hold(thread):
        caller = threading.Thread(
            target=lambda: outcomes.extend(in_threads(1, lambda _: thread.run(echo(1))))
        )
        caller.start()
        assert handed_over.wait(60)
    caller.join(60)
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
    assert work.result(60) == 1
    assert thread.run(echo(2)) == 2
    assert "SystemExit" in caplog.text


# -- the watchdog


def test_the_watchdog_names_what_blocks_the_loop_and_the_lag_shows_it(caplog):
    logged, go, looks = threading.Event(), threading.Event(), threading.Semaphore(0)

    class Looked(threading.Event):
        def wait(self, timeout=None):
            looks.release()
            return super().wait(timeout)

    async def hogging():
        assert go.wait(60)

    def told(record):
        if "in hogging" in record.getMessage():
            logged.set()
        return True

    thread = LoopThread(stall_after_s=0.04)
    thread._watchdog._stopping = Looked()
    log = logging.getLogger("xwe.loop")
    log.addFilter(told)
    try:
        work = thread.submit(hogging())
        assert logged.wait(60)
        assert thread.lag_s >= 0.04
        while looks.acquire(blocking=False):
            pass
        for _ in range(3):
            assert looks.acquire(timeout=60)
        go.set()
        work.result(60)
        while thread.lag_s >= 0.04:
            assert looks.acquire(timeout=60)
    finally:
        log.removeFilter(told)
        thread.close()
    assert caplog.text.count("in hogging") == 1


def test_the_lag_of_a_look_stays_until_the_next_one():
    watchdog = Watchdog()
    assert watchdog.lag_s == 0
    watchdog._asked_at, watchdog._answered = time.monotonic() - 3, False
    assert watchdog.lag_s >= 3
    watchdog._answer()
    lag_s = watchdog.lag_s
    assert lag_s >= 3
    assert watchdog.lag_s == lag_s
