"""Time that passes at once, for tests whose subject is time; and interpreters to lose."""

import asyncio
import contextlib
import os
import selectors
import signal
import subprocess
import sys
import textwrap
import threading

import pytest


class VirtualSelector(selectors.SelectSelector):
    """Passes the time at once when there is nothing else to do."""

    now = 1000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing would ever happen again"
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while anything can be done."""

    def __init__(self):
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self):
        return self._virtual.now


@pytest.fixture(scope="session")
def in_virtual_time():
    """Runs a coroutine on a loop whose sleeps cost nothing; its `time()` begins at 1000."""

    def run(main):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main)

    return run


@pytest.fixture(scope="session")
def in_fresh_interpreter():
    """Runs a script in an interpreter of its own, warnings being errors; what it printed."""

    def run(script, *, timeout_s=20, **environ):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return run


@pytest.fixture
def ctrl_c():
    """Interrupts the body of a `with` by a KeyboardInterrupt, soon after an event is set."""

    @contextlib.contextmanager
    def interrupt_after(event):
        interrupted = threading.Event()

        def handler(*_):
            if not interrupted.is_set():
                interrupted.set()
                raise KeyboardInterrupt

        def press():
            assert event.wait(20)
            # A signal that comes just before the thread blocks is not seen until the next one.
            while not interrupted.wait(0.01):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        before = signal.signal(signal.SIGINT, handler)
        hand = threading.Thread(target=press)
        hand.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                yield
        finally:
            interrupted.set()
            hand.join()
            signal.signal(signal.SIGINT, before)

    return interrupt_after
