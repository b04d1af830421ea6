"""What tests of threads and loops share: time that passes at once, work to hold, interpreters."""

import asyncio
import contextlib
import http.client
import os
import selectors
import signal
import subprocess
import sys
import textwrap
import threading

import flask
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from xwe.core.concurrency import iteration, loop_thread
from xwe.core.concurrency.blocking import tasks
from xwe.core.concurrency.loop_thread import LoopThread, get_loop_thread


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

    def run(script, *, timeout_s=100, **environ):
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
            assert event.wait(60)
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


@pytest.fixture(autouse=True)
def time_to_close(monkeypatch):
    """A busy machine may be slow to end what is closed; a test of the limits sets its own."""
    monkeypatch.setattr(tasks, "SETTLE_WITHIN_S", 60.0)
    monkeypatch.setattr(loop_thread, "CLOSE_WITHIN_S", 30.0)
    monkeypatch.setattr(iteration, "CLOSE_WITHIN_S", 30.0)


@pytest.fixture
def thread():
    """A loop thread of the test's own."""
    thread = LoopThread()
    yield thread
    thread.close()


class Waiting:
    """A coroutine that waits for ever, and tells when it began and how it ended."""

    def __init__(self):
        self.begun, self.ended = threading.Event(), threading.Event()
        self.error = None

    async def run(self):
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.error = error
            raise
        finally:
            await asyncio.sleep(0)  # a clean-up that takes a turn of the loop
            self.ended.set()


class Held:
    """Keeps a loop's thread for the length of a `with`."""

    def __init__(self, thread):
        self._thread, self._held, self._go = thread, threading.Event(), threading.Event()

    def _hold(self):
        self._held.set()
        assert self._go.wait(60)

    def __enter__(self):
        self._thread.loop.call_soon_threadsafe(self._hold)
        assert self._held.wait(60)
        return self

    def __exit__(self, *_):
        self.set()

    def set(self):
        """Let it go."""
        self._go.set()


def run_in_threads(count, func):
    """What `func(number)` returned or raised in each of `count` threads that begin together."""
    together = threading.Barrier(count)
    outcomes = [None] * count

    def run(number):
        together.wait(60)
        try:
            outcomes[number] = func(number)
        except BaseException as error:  # noqa: BLE001 - it is the outcome
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
        assert not each.is_alive(), "a thread hangs"
    return outcomes


@pytest.fixture
def new_work():
    """Makes coroutines that wait for ever, and tell when they began and how they ended."""
    return Waiting


@pytest.fixture
def hold():
    """Keeps the thread of a loop busy for the length of a `with`."""
    return Held


@pytest.fixture
def blocked_loop():
    """Holds the resident loop until `set` is called, or the test ends."""
    with Held(get_loop_thread()) as held:
        yield held


@pytest.fixture
def in_threads():
    """What a function returned or raised in each of so many threads that begin together."""
    return run_in_threads


class Task:
    """Occupies a thread until it is let go."""

    def __init__(self):
        self.begun, self._go = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self._go.wait(60)
        return "done"

    def let_go(self):
        self._go.set()


@pytest.fixture
def new_task():
    """Makes functions that occupy a thread until they are let go."""
    return Task


def make_app():
    app = flask.Flask(__name__)
    app.secret_key = "not a secret"
    return app


class QuietHandler(WSGIRequestHandler):
    def log(self, *_):
        pass


class Client:
    """Speaks HTTP to an application that a threaded server runs on loopback."""

    def __init__(self, port):
        self._port = port

    def open(self, path, **headers):
        """The connection and the response, its body unread."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", path, headers=headers)
        return connection, connection.getresponse()

    def get(self, path, **headers):
        connection, response = self.open(path, **headers)
        body = response.read().decode()
        connection.close()
        return response.status, dict(response.headers), body


@pytest.fixture
def serve_app():
    """Runs applications under a threaded WSGI server; they have ended when the test has."""
    servers = []

    def start(app):
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
        server.daemon_threads = False
        runner = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        runner.start()
        servers.append((server, runner))
        return Client(server.port)

    yield start
    for server, runner in servers:
        server.shutdown()
        runner.join()
        server.server_close()


@pytest.fixture
def new_app():
    """Makes Flask applications with nothing in them."""
    return make_app
