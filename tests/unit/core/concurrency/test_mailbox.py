"""The mailbox: all items, in order, a wake-up for many, and none of them ever lost."""

import asyncio
import gc
import random
import threading
import weakref

import pytest

from xwe.core.concurrency.mailbox import Mailbox
from xwe.errors import ClosedError


def fill(mailbox, items):
    """Put `items` as a well-behaved writer in a thread does, and close."""
    for item in items:
        if not mailbox.put(item):
            mailbox.space_blocking()
    mailbox.close()


async def fill_async(mailbox, items):
    """The same as a coroutine."""
    for item in items:
        if not mailbox.put(item):
            await mailbox.space()
    mailbox.close()


def read(mailbox):
    everything = []
    while items := mailbox.drain():
        everything += items
    return everything


async def read_async(mailbox):
    everything = []
    while items := await mailbox.drain_async():
        everything += items
    return everything


class Background(threading.Thread):
    """A thread whose result or error is the test's."""

    def __init__(self, func, *args):
        super().__init__()
        self._func, self._args, self._outcome = func, args, None
        self.start()

    def run(self):
        try:
            self._outcome = self._func(*self._args), None
        except BaseException as error:  # noqa: BLE001 - raised again in `result`
            self._outcome = None, error

    def result(self):
        self.join(60)
        assert not self.is_alive(), "a wake-up was lost"
        result, error = self._outcome
        if error is not None:
            raise error
        return result


class Blocked:
    """Runs a function in a thread, and returns when that thread waits in the mailbox."""

    def __init__(self, mailbox, end, func):
        self._waits = threading.Event()
        setattr(type(mailbox), end, self._property(f"{end}_hook"))
        self.thread = Background(func)
        assert self._waits.wait(60)

    def _property(self, name):
        def set_wake(mailbox, wake):
            mailbox.__dict__[name] = wake
            if wake is not None:
                self._waits.set()

        return property(lambda mailbox: mailbox.__dict__.get(name), set_wake)


@pytest.fixture
def mailbox():
    """A box for three items, of a class of its own, so that `Blocked` can watch it."""
    return type("Watched", (Mailbox,), {})(max_items=3)


# -- items


def test_a_reader_gets_everything_that_has_gathered_at_once_and_in_order(mailbox):
    for item in range(3):
        mailbox.put(item)
    assert mailbox.drain() == [0, 1, 2]
    mailbox.put(3)
    assert mailbox.drain() == [3]


def test_a_waiting_reader_is_woken_by_the_first_item(mailbox):
    reader = Blocked(mailbox, "_wake_reader", mailbox.drain).thread
    mailbox.put("first")
    assert reader.result() == ["first"]


async def test_a_waiting_coroutine_is_woken_by_the_first_item_from_any_thread(mailbox):
    reader = asyncio.create_task(mailbox.drain_async())
    await asyncio.sleep(0)
    await asyncio.to_thread(mailbox.put, "first")
    assert await reader == ["first"]


def test_a_reader_waits_no_longer_than_it_may_and_misses_nothing(mailbox):
    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        mailbox.drain(0.01)
    mailbox.put(1)
    assert mailbox.drain(0) == [1]


def test_an_item_that_comes_as_the_reader_gives_up_is_there_for_the_next_time(mailbox):
    forget = mailbox._forget_reader

    def put_first():
        mailbox.put("late")
        forget()

    mailbox._forget_reader = put_first
    with pytest.raises(TimeoutError):
        mailbox.drain(0)
    assert mailbox.drain(0) == ["late"]


async def test_a_reader_that_is_cancelled_misses_nothing(mailbox):
    reader = asyncio.create_task(mailbox.drain_async())
    await asyncio.sleep(0)
    mailbox.put(1)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await mailbox.drain_async() == [1]


# -- backpressure


def test_a_full_box_says_so_and_its_writer_waits_until_it_has_been_drained(mailbox):
    assert [mailbox.put(item) for item in range(3)] == [True, True, False]
    writer = Blocked(mailbox, "_wake_writer", mailbox.space_blocking).thread
    assert mailbox.drain() == [0, 1, 2]
    writer.result()
    mailbox.space_blocking()  # there is space: no wait


async def test_a_coroutine_that_writes_waits_too(mailbox):
    for item in range(3):
        mailbox.put(item)
    writer = asyncio.create_task(mailbox.space())
    await asyncio.sleep(0)
    assert not writer.done()
    assert await asyncio.to_thread(mailbox.drain) == [0, 1, 2]
    await writer
    await mailbox.space()


# -- the end


def test_what_was_put_before_the_end_is_delivered_before_it(mailbox):
    mailbox.put(1)
    assert mailbox.close()
    assert not mailbox.close(ValueError()), "the second close changes nothing"
    assert mailbox.drain() == [1]
    assert mailbox.drain() == []
    assert mailbox.drain() == []


def test_an_error_is_delivered_after_the_items_and_once(mailbox):
    mailbox.put(1)
    mailbox.close(KeyError("broken"))
    assert mailbox.drain() == [1]
    with pytest.raises(KeyError, match="broken"):
        mailbox.drain()
    assert mailbox.drain() == []


@pytest.mark.parametrize("end", [Mailbox.close, Mailbox.leave])
def test_the_end_wakes_whoever_waits(mailbox, end):
    reader = Blocked(mailbox, "_wake_reader", mailbox.drain).thread
    end(mailbox)
    assert reader.result() == []


@pytest.mark.parametrize("end", [Mailbox.close, Mailbox.leave])
def test_the_end_wakes_a_writer_whose_box_is_full(mailbox, end):
    for item in range(3):
        mailbox.put(item)
    writer = Blocked(mailbox, "_wake_writer", mailbox.space_blocking).thread
    end(mailbox)
    writer.result()
    with pytest.raises(ClosedError):
        mailbox.put(4)


async def test_a_reader_that_leaves_drops_what_is_left(mailbox):
    mailbox.put(1)
    mailbox.close(ValueError())
    mailbox.leave()
    assert await mailbox.drain_async() == []


def test_an_error_keeps_nothing_alive_once_it_has_been_seen(mailbox):
    class Payload:
        pass

    def fail():
        payload = Payload()
        try:
            int(payload)
        except TypeError as error:
            mailbox.close(error)
        return weakref.ref(payload)

    gc.collect()
    gc.disable()
    try:
        left = fail()
        with pytest.raises(TypeError, match="Payload"):
            mailbox.drain()
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("end", ["reader", "writer"])
def test_an_end_whose_loop_has_ended_does_not_disturb_the_other(mailbox, end):
    loop = asyncio.new_event_loop()
    if end == "writer":
        for item in range(3):
            mailbox.put(item)
    task = loop.create_task(mailbox.drain_async() if end == "reader" else mailbox.space())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False
    if end == "reader":
        assert mailbox.put(1)
    assert mailbox.drain()
    mailbox.close()


# -- no wake-up is lost


WRITERS = {"thread": fill, "coroutine": lambda *args: asyncio.run(fill_async(*args))}
READERS = {"thread": read, "coroutine": lambda mailbox: asyncio.run(read_async(mailbox))}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("max_items", [1, 7, 256])
def test_thousands_of_items_arrive_whoever_writes_and_whoever_reads(writer, reader, max_items):
    mailbox = Mailbox(max_items)
    writing = Background(WRITERS[writer], mailbox, range(3000))
    reading = Background(READERS[reader], mailbox)
    assert reading.result() == list(range(3000))
    writing.result()


class Interleaved:
    """A lock that lets another thread in before and after what it guards, by seeded chance."""

    def __init__(self, seed):
        self._lock, self._chance = threading.Lock(), random.Random(seed)  # noqa: S311 - forces interleavings
        self._other = threading.Event()

    def _let_in(self):
        if self._chance.random() < 0.3:
            self._other.wait(1e-6)  # gives up the interpreter's lock

    def __enter__(self):
        self._let_in()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()
        self._let_in()


@pytest.mark.parametrize("seed", range(6))
def test_no_order_of_the_two_ends_loses_a_wake_up(seed):
    mailbox = Mailbox(max_items=2)
    mailbox._guard = Interleaved(seed)
    writing = Background(WRITERS["thread" if seed % 2 else "coroutine"], mailbox, range(400))
    assert Background(READERS["coroutine" if seed % 3 else "thread"], mailbox).result() == list(
        range(400)
    )
    writing.result()


@pytest.mark.parametrize("seed", range(6))
def test_a_reader_that_leaves_at_any_moment_lets_the_writer_go(seed):
    mailbox = Mailbox(max_items=2)
    mailbox._guard = Interleaved(seed)

    def read_some():
        for _ in range(seed * 3):
            mailbox.drain()
        mailbox.leave()

    writing = Background(WRITERS["thread" if seed % 2 else "coroutine"], mailbox, range(4000))
    Background(read_some).result()
    with pytest.raises(ClosedError):
        writing.result()
