"""A function of either kind, awaited."""

import asyncio
import contextvars
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.core.concurrency.executor import BoundedThreadPoolExecutor
from xwe.core.concurrency.wrapper import AsyncWrapper
from xwe.errors import ClosedError, SaturatedError

user = contextvars.ContextVar("user", default="nobody")


@pytest.fixture
def wrap():
    made = []

    def make(func, executor=None):
        made.append(AsyncWrapper(func, executor))
        return made[-1]

    yield make
    for wrapper in made:
        wrapper.cleanup()


async def test_a_blocking_function_runs_in_a_thread_with_the_callers_context(wrap):
    def work(left, *, right):
        return threading.get_ident(), user.get(), left + right

    user.set("Ada")
    ident, seen, total = await wrap(work)(1, right=2)
    assert ident != threading.get_ident()
    assert (seen, total) == ("Ada", 3)


async def test_an_asynchronous_function_is_awaited_on_the_callers_loop(wrap):
    async def work():
        return asyncio.get_running_loop()

    wrapper = wrap(work)
    assert await wrapper() is asyncio.get_running_loop()
    assert wrapper._own is None, "an asynchronous function needs no threads"


async def test_every_kind_of_asynchronous_callable_is_recognised(wrap):
    class Client:
        async def __call__(self):
            return threading.get_ident()

        async def chat(self):
            return threading.get_ident()

    async def add(_number):
        return threading.get_ident()

    for func in (Client(), Client().chat, functools.partial(add, 1), wrap(Client().chat)):
        assert await wrap(func)() == threading.get_ident()


async def test_a_coroutine_that_a_blocking_function_returns_is_awaited(wrap):
    async def answer(prompt):
        return prompt.upper()

    assert await wrap(lambda prompt: answer(prompt))("hello") == "HELLO"  # noqa: PLW0108 - the lambda is the subject


async def test_the_functions_error_comes_through_as_it_is(wrap):
    def work():
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await wrap(work)()


async def test_an_argument_called_executor_reaches_the_function(wrap):
    def work(executor):
        return executor

    assert await wrap(work)(executor="mine") == "mine"


async def test_after_cleanup_a_call_is_refused_and_the_threads_have_ended(wrap):
    wrapper = wrap(threading.current_thread)
    thread = await wrapper()
    wrapper.cleanup()
    wrapper.cleanup()
    assert not thread.is_alive()
    with pytest.raises(ClosedError):
        await wrapper()
    with pytest.raises(RuntimeError):
        await wrapper()


async def test_after_cleanup_it_refuses_whatever_it_wraps(wrap):
    async def work():
        pass

    with ThreadPoolExecutor(1) as pool:
        for wrapper in (wrap(work), wrap(int, pool)):
            await wrapper()
            wrapper.cleanup()
            with pytest.raises(ClosedError):
                await wrapper()


async def test_cleanup_does_not_wait_for_a_call_that_runs(wrap):
    begun, may_end = threading.Event(), threading.Event()

    def work():
        begun.set()
        may_end.wait(60)
        return "done"

    wrapper = wrap(work)
    call = asyncio.create_task(wrapper())
    await asyncio.to_thread(begun.wait, 60)
    wrapper.cleanup()
    may_end.set()
    assert await call == "done"
    await asyncio.to_thread(wrapper._own.shutdown)


async def test_a_pool_that_was_passed_in_stays_open(wrap):
    with ThreadPoolExecutor(1, thread_name_prefix="theirs") as pool:
        user.set("Ada")
        wrapper = wrap(lambda: (threading.current_thread().name, user.get()), pool)
        name, seen = await wrapper()
        assert name.startswith("theirs")
        assert seen == "Ada"
        wrapper.cleanup()
        assert pool.submit(int, "1").result() == 1


async def test_a_full_pool_refuses_at_once(wrap):
    begun, may_end = threading.Event(), threading.Event()
    with BoundedThreadPoolExecutor(1, 0) as pool:

        def work():
            begun.set()
            return may_end.wait(60)

        wrapper = wrap(work, pool)
        call = asyncio.create_task(wrapper())
        await asyncio.to_thread(begun.wait, 60)
        with pytest.raises(SaturatedError):
            await wrapper()
        may_end.set()
        assert await call


async def test_the_kill_switch_runs_it_in_the_calling_thread(wrap, monkeypatch):
    wrapper = wrap(threading.get_ident)
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    assert await wrapper() == threading.get_ident()


def test_it_carries_the_functions_name_and_says_what_it_is(wrap):
    def chat():
        """Answers."""

    wrapper = wrap(chat)
    assert (wrapper.__name__, wrapper.__doc__) == ("chat", "Answers.")
    assert "chat" in repr(wrapper)
