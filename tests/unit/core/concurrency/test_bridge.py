"""`run_async_in_sync` from wherever synchronous code may find itself, with the loop and without."""

import asyncio
import contextvars
import gc
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest

from xwe.core.concurrency import own_loop
from xwe.core.concurrency.bridge import await_on_resident, run_async_in_sync
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor, offload
from xwe.core.concurrency.loop_thread import LoopThread, get_loop_thread
from xwe.errors import DeadlineExceededError, LoopDeadlockError

user = contextvars.ContextVar("user", default=None)


async def echo(value):
    await asyncio.sleep(0)
    return value, user.get()


def call(value):
    return run_async_in_sync(echo(value))


# -- surroundings


def with_no_loop(func):
    return func()


def inside_a_running_loop(func):
    async def cell():
        return func()

    return asyncio.run(cell())


def in_a_thread_of_a_pool(func):
    with BoundedThreadPoolExecutor(1, 1) as pool:
        return pool.submit(func).result(60)


def inside_a_flask_view(func):
    app = flask.Flask(__name__)
    answers = []

    @app.get("/")
    def view():
        answers.append(func())
        return ""

    assert app.test_client().get("/").status_code == 200
    return answers[0]


def in_a_pool_that_the_resident_loop_waits_for(func):
    with BoundedThreadPoolExecutor(1, 1) as pool:
        return get_loop_thread().run(offload(func, executor=pool))


def on_the_resident_loop(func):
    async def cell():
        return func()

    return get_loop_thread().run(cell())


SURROUNDINGS = [
    with_no_loop,
    inside_a_running_loop,
    in_a_thread_of_a_pool,
    inside_a_flask_view,
    in_a_pool_that_the_resident_loop_waits_for,
]


@pytest.fixture(params=["true", "false"])
def enabled(request, monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_ENABLED", request.param)
    return request.param == "true"


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_it_answers_and_carries_the_context(surroundings, enabled):
    user.set("ann")
    assert surroundings(lambda: call(1)) == (1, "ann")
    user.set(None)


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_errors_come_back_as_they_are(surroundings, enabled):
    async def fail():
        raise KeyError("missing")

    def provoke():
        with pytest.raises(KeyError, match="missing"):
            run_async_in_sync(fail())
        return True

    assert surroundings(provoke)


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_a_deadline_cancels_the_work(surroundings, enabled):
    begun, cancelled = threading.Event(), threading.Event()

    async def work():
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def provoke():
        with pytest.raises(DeadlineExceededError, match=r"0\.02 s"):
            run_async_in_sync(work(), 0.02)
        # On a busy machine the deadline may pass before the work has begun.
        return not begun.is_set() or cancelled.wait(60)

    assert surroundings(provoke)


def test_on_the_resident_loop_it_is_an_error_instead_of_a_deadlock():
    with pytest.raises(LoopDeadlockError, match="await") as caught:
        on_the_resident_loop(lambda: call(1))
    assert isinstance(caught.value, RuntimeError)
    gc.collect()  # a coroutine that was forgotten would warn now


def test_on_the_resident_loop_it_answers_when_the_kill_switch_is_thrown(monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    assert on_the_resident_loop(lambda: call(1)) == (1, None)


def test_the_kill_switch_runs_everything_in_the_calling_thread(monkeypatch):
    async def where():
        return threading.get_ident(), asyncio.get_running_loop()

    thread, loop = run_async_in_sync(where())
    assert (thread, loop) == (get_loop_thread().ident, get_loop_thread().loop)
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    thread, loop = run_async_in_sync(where())
    assert thread == threading.get_ident()
    assert loop is not get_loop_thread().loop
    assert loop.is_closed()


def test_a_timeout_of_the_coroutines_own_is_not_mistaken_for_the_deadline(enabled):
    async def give_up():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        run_async_in_sync(give_up(), 20)
    assert not isinstance(caught.value, DeadlineExceededError)


def test_an_awaitable_that_is_no_coroutine_is_awaited_too(enabled):
    class Answer:
        def __await__(self):
            return (yield from asyncio.sleep(0, 42).__await__())

    assert run_async_in_sync(Answer()) == 42


async def test_a_future_of_another_loop_is_an_error_instead_of_a_hang():
    foreign = asyncio.get_running_loop().create_future()
    with pytest.raises(RuntimeError, match="different loop"):
        await asyncio.to_thread(run_async_in_sync, foreign)


def test_what_cannot_be_awaited_is_refused_at_once(enabled):
    with pytest.raises(TypeError, match=r"awaitable is needed, not <class 'str'>$"):
        run_async_in_sync("the answer of a call that was not asynchronous")


def test_a_stop_iteration_crosses_loop_and_pool_without_hanging_anybody(enabled):
    def exhausted():
        return next(iter(()))

    async def outer():
        with BoundedThreadPoolExecutor(1, 0) as pool:
            return await offload(exhausted, executor=pool)

    with pytest.raises(RuntimeError, match="StopIteration"):
        run_async_in_sync(outer(), 20)


def test_the_context_goes_from_thread_to_loop_to_pool_as_in_a_plain_call(enabled):
    seen = []

    def in_pool():
        seen.append(("pool", user.get()))
        user.set("pool")
        run_async_in_sync(nested())
        seen.append(("pool again", user.get()))

    async def nested():
        seen.append(("nested", user.get()))
        user.set("nested")

    async def on_loop():
        seen.append(("loop", user.get()))
        user.set("loop")
        await offload(in_pool)
        seen.append(("loop again", user.get()))

    user.set("caller")
    run_async_in_sync(on_loop())
    assert seen == [
        ("loop", "caller"),
        ("pool", "loop"),
        ("nested", "pool"),
        ("pool again", "pool"),
        ("loop again", "loop"),
    ]
    assert user.get() == "caller"
    user.set(None)


def test_64_threads_with_a_marker_each_never_see_another_ones(enabled):
    chance = random.Random(64)  # noqa: S311 - forces interleavings

    async def turn(marker, depth):
        await asyncio.sleep(0)
        assert user.get() == marker
        if depth:
            return await offload(deeper, marker, depth - 1)
        return user.get()

    def deeper(marker, depth):
        assert user.get() == marker
        return run_async_in_sync(turn(marker, depth))

    def session(marker):
        user.set(marker)
        return [run_async_in_sync(turn(marker, chance.randrange(2))) for _ in range(10)]

    with ThreadPoolExecutor(64) as users:
        answers = list(users.map(session, range(64)))
    assert answers == [[marker] * 10 for marker in range(64)]


# -- await_on_resident


async def test_a_coroutine_of_another_loop_awaits_one_of_the_resident_loop():
    user.set("ann")

    async def where():
        return asyncio.get_running_loop(), user.get()

    loop, seen = await await_on_resident(where())
    assert loop is get_loop_thread().loop
    assert seen == "ann"


def test_on_the_resident_loop_it_is_a_plain_await():
    async def where():
        return asyncio.current_task()

    async def outer():
        return await await_on_resident(where()) is asyncio.current_task()

    assert get_loop_thread().run(outer())


async def test_cancelling_the_caller_cancels_the_work_on_the_resident_loop():
    begun, cancelled = asyncio.Event(), asyncio.Event()
    here = asyncio.get_running_loop()

    async def work():
        here.call_soon_threadsafe(begun.set)
        try:
            await asyncio.Event().wait()
        finally:
            here.call_soon_threadsafe(cancelled.set)

    caller = asyncio.create_task(await_on_resident(work()))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await cancelled.wait()


# -- the kill switch's own loop


def test_an_own_loop_is_closed_after_its_call_wherever_it_ran(monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    made = []

    class Counted(LoopThread):
        def __init__(self, name):
            super().__init__(name)
            made.append(self)

    monkeypatch.setattr(own_loop, "LoopThread", Counted)
    assert inside_a_running_loop(lambda: call(1)) == (1, None)
    assert [thread.is_closed for thread in made] == [True]
