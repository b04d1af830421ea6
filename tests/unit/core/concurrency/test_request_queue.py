"""The request queue: the standard library's behaviour, and an end."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.core.concurrency.request_queue import AsyncRequestQueue
from xwe.errors import ClosedError


class Watched(threading.Condition):
    """Tells when somebody waits on it; the lock is still held then, so no signal can be missed."""

    def __init__(self, lock):
        super().__init__(lock)
        self.waits = threading.Semaphore(0)

    def wait(self, timeout=None):
        self.waits.release()
        return super().wait(timeout)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as executor:
        yield executor


def watched(max_size=0):
    requests = AsyncRequestQueue(max_size)
    requests.not_empty, requests.not_full = Watched(requests.mutex), Watched(requests.mutex)
    return requests


def test_items_come_out_in_the_order_in_which_they_went_in():
    requests = AsyncRequestQueue()
    for number in range(5):
        requests.put(number)
    assert requests.qsize() == 5
    assert [requests.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert requests.empty()


def test_a_full_queue_refuses_as_the_standard_library_does():
    requests = AsyncRequestQueue(max_size=1)
    requests.put_nowait("first")
    assert requests.full()
    with pytest.raises(queue.Full):
        requests.put_nowait("second")
    with pytest.raises(queue.Full):
        requests.put("second", block=False)
    with pytest.raises(queue.Full):
        requests.put("second", timeout=0.001)
    assert requests.qsize() == 1


def test_an_empty_queue_refuses_as_the_standard_library_does():
    requests = AsyncRequestQueue()
    with pytest.raises(queue.Empty):
        requests.get_nowait()
    with pytest.raises(queue.Empty):
        requests.get(block=False)
    with pytest.raises(queue.Empty):
        requests.get(timeout=0.001)


def test_negative_sizes_and_timeouts_are_refused():
    with pytest.raises(ValueError, match="max_size"):
        AsyncRequestQueue(-1)
    requests = AsyncRequestQueue(1)
    with pytest.raises(ValueError, match="timeout"):
        requests.get(timeout=-1)
    with pytest.raises(ValueError, match="timeout"):
        requests.put(1, timeout=-1)


def test_without_a_bound_it_is_never_full():
    requests = AsyncRequestQueue()
    for number in range(1000):
        requests.put_nowait(number)
    assert not requests.full()


def test_a_reader_that_waits_gets_the_next_item(pool):
    requests = watched()
    reading = pool.submit(requests.get)
    requests.not_empty.waits.acquire()
    requests.put("item")
    assert reading.result() == "item"


def test_a_writer_that_waits_gets_the_place_that_falls_free(pool):
    requests = watched(max_size=1)
    requests.put("first")
    writing = pool.submit(requests.put, "second")
    requests.not_full.waits.acquire()
    assert requests.get() == "first"
    writing.result()
    assert requests.get() == "second"


def test_closing_wakes_every_reader_that_waits(pool):
    requests = watched()
    reading = [pool.submit(requests.get) for _ in range(3)]
    for _ in reading:
        requests.not_empty.waits.acquire()
    requests.close()
    for reader in reading:
        with pytest.raises(ClosedError):
            reader.result()


def test_closing_wakes_every_writer_that_waits(pool):
    requests = watched(max_size=1)
    requests.put("kept")
    writing = [pool.submit(requests.put, "refused") for _ in range(3)]
    for _ in writing:
        requests.not_full.waits.acquire()
    requests.close()
    for writer in writing:
        with pytest.raises(ClosedError):
            writer.result()
    assert requests.get() == "kept"


def test_what_is_inside_a_closed_queue_can_still_be_taken():
    requests = AsyncRequestQueue()
    requests.put(1)
    requests.put(2)
    requests.close()
    requests.close()
    assert [requests.get(), requests.get_nowait()] == [1, 2]
    with pytest.raises(ClosedError):
        requests.get()
    with pytest.raises(ClosedError):
        requests.get(timeout=60)


def test_a_closed_queue_takes_nothing_more():
    requests = AsyncRequestQueue()
    requests.close()
    with pytest.raises(RuntimeError):
        requests.put(1)
    with pytest.raises(ClosedError):
        requests.put_nowait(1)


def test_many_threads_lose_and_double_nothing(pool):
    requests = AsyncRequestQueue(max_size=3)

    def write(start):
        for number in range(start, start + 500):
            requests.put(number)

    def read():
        taken = []
        while True:
            try:
                taken.append(requests.get())
            except ClosedError:
                return taken

    reading = [pool.submit(read) for _ in range(2)]
    writing = [pool.submit(write, start) for start in (0, 500)]
    for writer in writing:
        writer.result()
    requests.close()
    assert sorted(reading[0].result() + reading[1].result()) == list(range(1000))


def test_a_closed_queue_reports_what_is_inside():
    requests = AsyncRequestQueue(max_size=1)
    requests.put(1)
    requests.close()
    assert (requests.qsize(), requests.full(), requests.empty()) == (1, True, False)
    requests.get()
    assert (requests.qsize(), requests.full(), requests.empty()) == (0, False, True)
