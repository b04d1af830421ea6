"""Deadlines around blocking calls, and what may not be called on the loop's own thread."""

import asyncio
import contextlib
import dataclasses
import queue
import threading
import time

import pytest
from loop_work import echo, for_ever, started

from xwe.core.concurrency import blocking
from xwe.core.concurrency.blocking import tasks
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DeadlineExceededError, LoopDeadlockError


@pytest.fixture
def passing_deadline(monkeypatch):
    """A deadline that passes while a call inside it waits, and never before that."""
    limit_of = tasks.limit_of

    def soon(timeout_s):
        return dataclasses.replace(limit_of(timeout_s), seconds=0.01)

    @contextlib.contextmanager
    def passing():
        with monkeypatch.context() as patch, blocking.timeout(1000):
            patch.setattr(tasks, "limit_of", soon)
            yield

    return passing


def on_loop(func):
    """Call `func` on the resident loop's own thread."""

    async def call():
        return func()

    return get_loop_thread().run(call())


# -- timeout


def test_a_deadline_holds_for_every_call_inside_it():
    with pytest.raises(DeadlineExceededError), blocking.timeout(0.02) as deadline:
        blocking.run(for_ever())
    assert deadline.expired()
    assert deadline.remaining_s() == 0
    assert blocking.run(echo(1)) == 1, "and for none outside"


@pytest.mark.parametrize(
    "call",
    [
        lambda: blocking.run(echo(1)),
        lambda: blocking.gather(echo(1), echo(2)),
        lambda: blocking.wait_for(echo(1), 20),
        lambda: list(blocking.as_completed([echo(1)])),
        lambda: blocking.shield(echo(1)),
        lambda: blocking.sleep(0),
        lambda: blocking.Lock().acquire(),
        lambda: blocking.Lock().acquire(timeout=0),
        lambda: blocking.Semaphore().acquire(),
        lambda: blocking.Event().wait(),
        lambda: blocking.Queue().put(1),
        lambda: blocking.Queue().get(),
        lambda: blocking.Queue().join(),
        lambda: blocking.Future().result(),
        lambda: blocking.wait([blocking.Future()]),
    ],
)
def test_after_the_deadline_no_call_begins(call):
    with blocking.timeout(0), pytest.raises(DeadlineExceededError):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: blocking.gather(for_ever(), for_ever()),
        lambda: blocking.wait([blocking.Future()]),
        lambda: blocking.wait([blocking.Future()], return_when=blocking.FIRST_COMPLETED),
        lambda: list(blocking.as_completed([blocking.Future()])),
        lambda: blocking.Future().result(),
        lambda: blocking.Semaphore(0).acquire(timeout=20),
        lambda: blocking.Event().wait(),
        lambda: blocking.Queue().get(),
        lambda: blocking.sleep(3600),
    ],
)
def test_each_call_that_waits_ends_at_the_deadline(call):
    with blocking.timeout(0.01), pytest.raises(DeadlineExceededError):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: blocking.run(for_ever()),
        lambda: blocking.wait_for(for_ever(), 20),
        lambda: blocking.gather(for_ever(), for_ever()),
    ],
)
def test_nothing_goes_on_that_was_begun_as_the_deadline_passed(monkeypatch, call):
    """A loop that takes its time to start: what was handed to it is ended, and not forgotten."""
    loop_thread = get_loop_thread()
    start = loop_thread.start

    def start_late(call):
        time.sleep(0.05)
        start(call)

    monkeypatch.setattr(loop_thread, "start", start_late)
    with blocking.timeout(0.02), pytest.raises(DeadlineExceededError):
        call()
    monkeypatch.undo()
    assert on_loop(lambda: [t for t in asyncio.all_tasks() if "for_ever" in str(t)]) == []


def test_a_task_that_is_waited_for_past_the_deadline_is_cancelled(passing_deadline):
    ended = threading.Event()
    task = started(for_ever(ended))
    with passing_deadline(), pytest.raises(DeadlineExceededError):
        task.result()
    assert task.cancelled()
    assert ended.is_set()


def test_what_is_gathered_past_the_deadline_has_ended_when_the_error_is_raised(passing_deadline):
    ended = [threading.Event() for _ in range(2)]
    parts = [started(for_ever(event)) for event in ended]
    with passing_deadline(), pytest.raises(DeadlineExceededError):
        blocking.gather(*parts)
    assert all(part.cancelled() for part in parts)
    assert all(event.is_set() for event in ended)


def test_what_is_gathered_while_the_loop_is_busy_ends_at_the_deadline_all_the_same(
    passing_deadline, hold, monkeypatch
):
    """The gathering is cancelled before its first turn, in which it would meet its parts."""
    ended = [threading.Event() for _ in range(2)]
    parts = [started(for_ever(event)) for event in ended]
    monkeypatch.setattr(tasks, "SETTLE_WITHIN_S", 0.01)
    with hold(get_loop_thread()), passing_deadline(), pytest.raises(DeadlineExceededError):
        blocking.gather(*parts)
    assert all(event.wait(60) for event in ended)


def test_an_inner_deadline_can_only_be_nearer():
    with blocking.timeout(None) as outer:
        assert outer.remaining_s() == float("inf")
        with blocking.timeout(100) as near, blocking.timeout(1000) as far:
            assert far.at == near.at
            assert 0 < far.remaining_s() <= 100


def test_a_calls_own_timeout_stays_its_own_inside_a_deadline():
    with blocking.timeout(1000):
        assert not blocking.Semaphore(0).acquire(timeout=0.001)
        with pytest.raises(queue.Empty):
            blocking.Queue().get(timeout=0.001)


def message_of(call):
    with pytest.raises(DeadlineExceededError) as caught:
        call()
    return caught.value.message


def test_the_error_names_the_time_that_was_asked_for_and_not_what_was_left_of_it():
    def within_a_block(call, *blocks):
        with contextlib.ExitStack() as around:
            for seconds in blocks:
                around.enter_context(blocking.timeout(seconds))
            call()

    def wait():
        blocking.Event().wait()

    around = "No answer within 0.02 s (the deadline around the call)."
    assert message_of(lambda: within_a_block(wait, 0.02)) == around
    assert message_of(lambda: within_a_block(wait, 0.02, 1000)) == around, "the nearer one's"
    assert message_of(lambda: within_a_block(wait, 1000, 0.02, None)) == around
    own = "No answer within 0.02 s (the call's timeout)."
    assert message_of(lambda: blocking.wait_for(for_ever(), 0.02)) == own
    assert (
        message_of(lambda: within_a_block(lambda: blocking.wait_for(for_ever(), 0.02), 1000)) == own
    )


def test_a_call_that_came_too_late_is_told_of_the_same_time():
    def come_too_late():
        with blocking.timeout(0.01) as deadline:
            with contextlib.suppress(DeadlineExceededError):
                blocking.Event().wait()
            assert deadline.expired()
            blocking.run(echo(1))

    assert message_of(come_too_late).startswith("No answer within 0.01 s")


# -- the loop's own thread


@pytest.mark.parametrize(
    "call",
    [
        lambda: blocking.run(echo(1)),
        lambda: blocking.gather(echo(1)),
        lambda: blocking.wait([blocking.Future()]),
        lambda: list(blocking.as_completed([echo(1)])),
        lambda: blocking.shield(echo(1)),
        lambda: blocking.wait_for(echo(1), 1),
        lambda: blocking.sleep(0),
        lambda: blocking.Future().result(),
        lambda: blocking.Lock().acquire(),
        lambda: blocking.Semaphore().acquire(timeout=1),
        lambda: blocking.Event().wait(),
        lambda: blocking.Queue().put(1),
        lambda: blocking.Queue().get(),
    ],
)
def test_waiting_on_the_loops_own_thread_is_refused(call):
    with pytest.raises(LoopDeadlockError):
        on_loop(call)


def test_what_does_not_wait_works_on_the_loops_own_thread():
    def work():
        events = blocking.Queue()
        events.put_nowait(1)
        flag, lock = blocking.Event(), blocking.Semaphore(0)
        flag.set()
        lock.release()
        return blocking.create_task(echo(events.get_nowait())), flag.is_set(), lock.locked()

    task, is_set, is_locked = on_loop(work)
    assert task.result(20) == 1
    assert is_set
    assert not is_locked
