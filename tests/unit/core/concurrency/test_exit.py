"""An interpreter that ends with work under way ends quickly, and without a word."""

import pytest

PREAMBLE = """
import asyncio, logging, sys, threading
from xwe.core.concurrency import iteration, loop_thread, watchdog
from xwe.core.concurrency.bridge import run_async_in_sync
from xwe.core.concurrency.executor import get_global_executor
from xwe.core.concurrency.iteration import iterate_in_sync
from xwe.core.concurrency.loop_thread import get_loop_thread

# A busy machine's slow callbacks and late loops are no fault, and what is left may take its time.
logging.getLogger("asyncio").setLevel(logging.ERROR)
watchdog.Watchdog._log_stack = lambda *_: None
loop_thread.CLOSE_WITHIN_S = iteration.CLOSE_WITHIN_S = 40

async def for_ever(begun=None):
    try:
        if begun:
            begun.set()
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("ended", flush=True)

async def numbers():
    try:
        for number in range(1_000_000):
            yield number
    finally:
        await asyncio.sleep(0)
        print("closed", flush=True)

def in_daemon(func, *args):
    thread = threading.Thread(target=func, args=args, daemon=True)
    thread.start()
"""

LEFT_BEHIND = {
    "a running coroutine": (
        """
left = get_loop_thread().submit(for_ever())
run_async_in_sync(asyncio.sleep(0))
""",
        ["ended"],
    ),
    "an open iterator": (
        """
left = iterate_in_sync(numbers())
next(left)
""",
        ["closed"],
    ),
    "an iterator that was never read": ("left = iterate_in_sync(numbers())", []),
    "an iterator that was never read and has to be closed": (
        """
class Source:
    def __aiter__(self):
        return self

    async def aclose(self):
        print("closed too late to matter")

left = iterate_in_sync(Source())
""",
        [],
    ),
    "an iterator in a circle of garbage": (
        """
circle = [iterate_in_sync(numbers())]
next(circle[0])
circle.append(circle)
del circle
""",
        ["closed"],
    ),
    "a daemon thread that waits": (
        """
begun = threading.Event()
in_daemon(run_async_in_sync, for_ever(begun))
begun.wait()
""",
        ["ended"],
    ),
    "a daemon thread that reads": (
        """
begun = threading.Event()

async def slow():
    begun.set()
    yield 1
    await for_ever()

in_daemon(lambda: list(iterate_in_sync(slow())))
begun.wait()
""",
        ["ended"],
    ),
    "a thread that still works": (
        """
def work():
    threading.main_thread().join()
    print(run_async_in_sync(asyncio.sleep(0, "worked")), flush=True)

threading.Thread(target=work).start()
""",
        ["worked"],
    ),
    "a pool that still works": (
        """
async def finish():
    await asyncio.sleep(0.1)
    print("worked", flush=True)

get_global_executor().submit(run_async_in_sync, finish())
""",
        ["worked"],
    ),
    "an error": (
        """
async def fail():
    raise ValueError

left = get_loop_thread().submit(fail())
run_async_in_sync(asyncio.sleep(0))
""",
        [],
    ),
}


@pytest.mark.parametrize("left_behind", LEFT_BEHIND)
def test_the_interpreter_ends_with(left_behind, in_fresh_interpreter):
    """Also in asyncio's debug mode, which complains of everything that is left pending."""
    script, said = LEFT_BEHIND[left_behind]
    assert in_fresh_interpreter(PREAMBLE + script, PYTHONASYNCIODEBUG="1") == said
