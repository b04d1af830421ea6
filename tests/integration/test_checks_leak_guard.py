"""The guard around every test, proved on tests that leak on purpose."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# The guard as every test has it, but less patient with what never ends.
IMPATIENT = f"""
import importlib.util

spec = importlib.util.spec_from_file_location("guard", {str(TESTS / "conftest.py")!r})
guard = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guard)
guard.LEAK_GRACE_S = 0.2
leak_guard = guard.leak_guard
"""
AS_IT_IS = IMPATIENT.replace("guard.LEAK_GRACE_S = 0.2\n", "")

BEGINNING = """
import asyncio, socket, threading
from flask import Flask
from xwe.core.concurrency.blocking import deadlines
from xwe.core.concurrency.loop_thread import get_loop_thread

kept = []
"""

LEAKS = {
    "thread": ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "thread "),
    "socket": ("kept.append(socket.create_server(('127.0.0.1', 0)))", "socket:["),
    "task": (
        "kept.append(get_loop_thread().submit(asyncio.Event().wait()))",
        "Event.wait",
    ),
    "task of a task": (
        """async def begin(): kept.append(asyncio.create_task(asyncio.sleep(60), name="stray"))
    get_loop_thread().run(begin())""",
        "task stray of ",
    ),
    "flask": ("Flask('leaking').app_context().push()", "flask.app_ctx in the context"),
    "our variable": (
        "kept.append(deadlines.timeout(60)); kept[-1].__enter__()",
        "xwe_blocking_deadline in the context",
    ),
}

CLEAN = """
def test_clean():
    async def come_and_go():
        task = asyncio.create_task(asyncio.sleep(0.05))
        await asyncio.sleep(0)
        return task

    get_loop_thread().run(come_and_go())
    with Flask("clean").app_context(), deadlines.timeout(60):
        pass
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    socket.create_server(("127.0.0.1", 0)).close()
"""


def run(directory, tests, conftest=IMPATIENT):
    """What pytest says of these tests, under the guard."""
    (directory / "conftest.py").write_text(conftest)
    (directory / "test_it.py").write_text(BEGINNING + tests)
    (directory / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("name", LEAKS)
def test_what_is_left_behind_fails_the_test_that_left_it(tmp_path, name):
    """And no other: what is left is the state in which the next test begins."""
    leak, told = LEAKS[name]
    said = run(tmp_path, f"def test_leaking():\n    {leak}\n\ndef test_after(): pass\n")
    assert "2 passed, 1 error" in said
    assert "ERROR at teardown of test_leaking" in said
    assert "left behind: " in said
    assert told in said


def test_what_ends_in_time_is_no_leak(tmp_path):
    assert "1 passed" in run(tmp_path, CLEAN, AS_IT_IS)
