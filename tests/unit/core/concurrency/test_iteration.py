"""An asynchronous iterator read in a thread: all items, then its error, and closed when left."""

import asyncio
import contextlib
import contextvars
import gc
import random
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.core.concurrency import iteration as module
from xwe.core.concurrency.iteration import iterate_in_sync
from xwe.core.concurrency.loop_thread import LoopThread, get_loop_thread
from xwe.errors import ClosedError, LoopDeadlockError

user = contextvars.ContextVar("user", default=None)


class Source:
    """Counts, and tells what became of it; `hold_at` makes it wait for ever before an item."""

    def __init__(self, count=5, hold_at=None, fail_at=None):
        self.given, self.closed, self.holds = 0, threading.Event(), threading.Event()
        self._count, self._hold_at, self._fail_at = count, hold_at, fail_at

    async def __call__(self):
        try:
            for number in range(self._count):
                if number == self._hold_at:
                    self.holds.set()
                    await asyncio.Event().wait()
                if number == self._fail_at:
                    raise KeyError(number)
                self.given += 1
                yield number
        finally:
            try:
                await asyncio.sleep(0)  # a clean-up that takes a turn of the loop
            finally:
                self.closed.set()


class Unread:
    """An asynchronous iterator that is not a generator."""

    closed = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration

    async def aclose(self):
        self.closed = True


@pytest.fixture(params=["true", "false"])
def enabled(request, monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_ENABLED", request.param)
    return request.param == "true"


@pytest.fixture
def own_thread(monkeypatch):
    """A loop thread in the place of the resident one, to be closed or blocked."""
    thread = LoopThread()
    monkeypatch.setattr(module, "get_loop_thread", lambda: thread)
    yield thread
    thread.close()


def test_items_come_in_order_and_all_of_them(enabled):
    source = Source(5000)
    assert list(iterate_in_sync(source())) == list(range(5000))
    assert source.closed.is_set()


def test_nothing_runs_before_the_first_item_is_asked_for(enabled):
    source = Source()
    reader = iterate_in_sync(source())
    get_loop_thread().run(asyncio.sleep(0))
    assert source.given == 0
    assert next(reader) == 0
    reader.close()


def test_the_iterator_sees_the_context_in_which_it_was_handed_over(enabled):
    async def look():
        yield user.get()
        user.set("changed inside")
        yield user.get()

    def make():
        user.set("ann")
        return iterate_in_sync(look())

    reader = contextvars.copy_context().run(make)
    assert list(reader) == ["ann", "changed inside"]
    assert user.get() is None


def test_an_error_comes_after_the_items_before_it(enabled):
    source, seen = Source(fail_at=3), []
    with pytest.raises(KeyError, match="3"):
        seen.extend(iterate_in_sync(source()))
    assert seen == [0, 1, 2]
    assert source.closed.is_set()


@pytest.mark.parametrize("leave", ["close", "drop", "break"])
def test_a_reader_that_leaves_closes_the_iterator_before_it_goes_on(enabled, leave):
    source = Source(hold_at=3)
    if leave == "break":
        for _ in iterate_in_sync(source()):
            break
    else:
        reader = iterate_in_sync(source())
        assert next(reader) == 0
        if leave == "close":
            reader.close()
        del reader
    assert source.closed.is_set()


@pytest.mark.parametrize("hold_at", [0, 1])
def test_ctrl_c_in_a_waiting_reader_closes_the_iterator(hold_at, ctrl_c):
    source = Source(hold_at=hold_at)
    with ctrl_c(source.holds):
        list(iterate_in_sync(source()))
    assert source.closed.is_set()


def test_a_clean_up_that_is_under_way_is_waited_for_and_not_cancelled():
    class Source(Unread):
        closing, items = threading.Event(), iter("a")

        async def __anext__(self):
            for item in self.items:
                return item
            raise StopAsyncIteration

        async def aclose(self):
            self.closing.set()
            await asyncio.sleep(0.03)
            self.closed = True

    source = Source()
    reader = iterate_in_sync(source)
    assert next(reader) == "a"
    assert source.closing.wait(60)
    reader.close()
    assert source.closed


def test_one_that_was_never_read_is_closed_too(enabled):
    unread = Unread()
    reader = iterate_in_sync(unread)
    reader.close()
    assert unread.closed
    iterate_in_sync(Source()()).close()
    gc.collect()


def test_a_half_read_one_that_only_the_garbage_collector_finds_cleans_up():
    source = Source(hold_at=3)
    gc.disable()  # or it may come by on the loop's thread, which cannot wait for the clean-up
    try:
        circle = [iterate_in_sync(source())]
        next(circle[0])
        circle.append(circle)
        del circle
        gc.collect()
        assert source.closed.is_set()
    finally:
        gc.enable()


def test_the_garbage_collector_may_find_one_on_the_loops_own_thread():
    source = Source(hold_at=3)
    circle = [iterate_in_sync(source())]
    next(circle[0])
    circle.append(circle)
    del circle

    async def collect():
        gc.collect()

    get_loop_thread().run(collect(), 20)
    assert source.closed.wait(60)


def test_a_slow_reader_is_not_run_away_from():
    source = Source(10_000)
    reader = iterate_in_sync(source())
    assert next(reader) == 0
    for _ in range(600):
        get_loop_thread().run(asyncio.sleep(0))
    assert source.given <= 2 * 256 + 2
    assert sum(1 for _ in reader) == 9999


def test_reading_on_the_loops_own_thread_is_an_error_instead_of_a_deadlock():
    async def read():
        return next(iterate_in_sync(Source()()))

    with pytest.raises(LoopDeadlockError):
        get_loop_thread().run(read())
    gc.collect()


def test_one_made_on_the_loop_may_be_read_in_a_thread():
    async def view():
        return iterate_in_sync(Source()())

    assert list(get_loop_thread().run(view())) == [0, 1, 2, 3, 4]


def test_the_kill_switch_works_inside_a_running_loop_too(monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")

    async def cell():
        return list(iterate_in_sync(Source()()))

    assert asyncio.run(cell()) == [0, 1, 2, 3, 4]


def test_an_error_of_the_clean_up_reaches_the_reader_that_left(enabled):
    async def broken():
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            raise OSError("while closing")

    reader = iterate_in_sync(broken())
    next(reader)
    with pytest.raises(OSError, match="while closing"):
        reader.close()


def test_an_error_nobody_asked_for_yet_does_not_disturb_the_reader_that_left():
    source = Source(fail_at=1)
    reader = iterate_in_sync(source())
    assert next(reader) == 0
    assert source.closed.wait(60)
    get_loop_thread().run(asyncio.sleep(0))
    reader.close()


def test_a_reader_is_told_when_the_loop_is_closed_under_it(own_thread):
    source = Source(hold_at=2)
    reader = iterate_in_sync(source())
    assert [next(reader), next(reader)] == [0, 1]
    assert source.holds.wait(60)
    own_thread.close()
    with pytest.raises(ClosedError):
        next(reader)
    assert source.closed.is_set()


def test_a_reader_may_leave_after_the_loop_was_closed(own_thread):
    readers = [iterate_in_sync(Source(hold_at=2)()) for _ in range(2)]
    next(readers[0])
    own_thread.close()
    for reader in readers:
        reader.close()
    unread = iterate_in_sync(Unread())
    unread.close()


def test_an_iterator_that_will_not_close_holds_nobody_up(monkeypatch, caplog):
    monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.02)
    go_on = asyncio.Event()

    async def stubborn():
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await go_on.wait()

    reader = iterate_in_sync(stubborn())
    next(reader)
    reader.close()
    assert "An iterator was left" in caplog.text
    get_loop_thread().loop.call_soon_threadsafe(go_on.set)


def test_a_blocked_loop_holds_no_leaving_reader_up(own_thread, monkeypatch, caplog):
    monkeypatch.setattr(module, "CLOSE_WITHIN_S", 0.02)
    held, go_on = threading.Event(), threading.Event()
    source = Source(hold_at=1)
    reader = iterate_in_sync(source())
    next(reader)
    own_thread.loop.call_soon_threadsafe(lambda: (held.set(), go_on.wait(60)))
    assert held.wait(60)
    reader.close()
    go_on.set()
    assert "blocked" in caplog.text
    assert source.closed.wait(60), "it is ended as soon as the loop is free"


def test_nothing_of_an_iterator_outlives_it_not_even_until_the_garbage_collector_comes():
    class Payload:
        pass

    async def produce(payload, fail):
        yield 1
        await asyncio.sleep(0)
        if fail:
            raise ValueError
        yield 2

    def left_by(fail, use):
        payload = Payload()
        with contextlib.suppress(ValueError):
            use(iterate_in_sync(produce(payload, fail)))
        return weakref.ref(payload)

    uses = {
        "read": (False, list),
        "failed": (True, list),
        "left": (False, lambda reader: (next(reader), reader.close())),
    }
    gc.collect()
    gc.disable()
    try:
        left = {name: left_by(*use) for name, use in uses.items()}
        for _ in range(5):
            get_loop_thread().run(asyncio.sleep(0))
        assert {name for name, ref in left.items() if ref() is not None} == set()
    finally:
        gc.enable()


def test_many_readers_that_come_and_leave_at_any_moment_close_everything():
    sources = []

    def read(seed):
        chance = random.Random(seed)  # noqa: S311 - forces interleavings
        for _ in range(10):
            source = Source(chance.randrange(1, 600), hold_at=chance.choice([None, 3, 599]))
            sources.append(source)
            reader = iterate_in_sync(source())
            for number, item in enumerate(reader):
                assert item == number
                if item == 2 or chance.random() < 0.2:
                    break
            reader.close()

    with ThreadPoolExecutor(16) as readers:
        list(readers.map(read, range(16)))
    assert all(source.closed.is_set() for source in sources)
