"""What every test gets: a clean environment, a model server on request, and a guard for leaks."""

import asyncio
import contextlib
import contextvars
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from xwe.core.concurrency import loop_thread
from xwe.mock import MockServer

pytest_plugins = ["databases"]

# CI sets it, so that a missing service is a failure there and a skipped test elsewhere.
REQUIRE_SERVICES = "XWE_REQUIRE_SERVICES"
SERVICE_PORTS = {"postgresql": 5432, "redis": 6379}

# The process keeps these for its life: the resident loop and what belongs to it.
RESIDENT_THREADS = (
    "xwe-loop",
    "xwe-watchdog",
    "xwe-global",
    "xwe-database",
    "asyncio_",
    "uvloop_",
    "MainThread",
)
LEAK_GRACE_S = 60.0  # where nothing is left it takes none of it
LOOP_WITHIN_S = 60.0
BROWSERS = ("chromium-headless-shell", "chromium")
LISTENING = "0A"  # as /proc/net/tcp has it

# What must be as it was in the test's own context: Flask's contexts and our variables, except for
# the two that every request sets anew and leaves to its thread.
CONTEXT_VARIABLES = ("flask.", "xwe_")
SET_BY_EVERY_REQUEST = {"xwe_request_id", "xwe_user_id"}

_SETTINGS = re.compile(r"(LLM_|XWE_(?!REQUIRE_SERVICES)).*|[A-Z]+_API_KEY|HOST|PORT")


# How long an example takes says more of the machine than of the code.
settings.register_profile("xwe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("xwe")


def pytest_configure() -> None:
    # A developer's own settings must not change what a test sees.
    for name in list(os.environ):
        if _SETTINGS.fullmatch(name):
            del os.environ[name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for reason in _missing(item):
        if os.environ.get(REQUIRE_SERVICES) == "1":
            pytest.fail(f"{reason}, and {REQUIRE_SERVICES}=1")
        pytest.skip(reason)


def _missing(item: pytest.Item) -> Iterator[str]:
    if item.get_closest_marker("browser") and not any(map(shutil.which, BROWSERS)):
        yield "chromium is not installed"
    for marker in item.iter_markers("service"):
        name = marker.args[0]
        try:
            socket.create_connection(("127.0.0.1", SERVICE_PORTS[name]), timeout=20).close()
        except OSError as error:
            yield f"{name} does not answer on loopback: {error}"


@pytest.fixture(autouse=True)
def leak_guard() -> Iterator[None]:
    """Fails a test that leaves a thread, a TCP socket, a task of the loop or a context behind."""
    threads, sockets = set(threading.enumerate()), _sockets()
    tasks, context = _resident_tasks(), _context()
    yield
    deadline = time.monotonic() + LEAK_GRACE_S
    now = time.monotonic()
    while left := [
        *_stray_threads(threads),
        *_stray_connections(sockets),
        *(f"task {task.get_name()} of {task.get_coro()}" for task in _resident_tasks() - tasks),
        *(f"{name} in the context" for name in _changed(context, _context())),
    ]:
        if now > deadline:
            pytest.fail("left behind: " + ", ".join(left))
        time.sleep(0.005)  # closing is somebody else's work by now, and nobody tells of its end
        now = time.monotonic()  # before the look: what ends between the two is not left behind


def _resident_tasks() -> set[asyncio.Task[object]]:
    """What runs on the resident loop; nothing where there is none."""
    resident = loop_thread._resident
    if resident is None or resident.is_closed or resident.ident is None:
        return set()
    taken_in = threading.Event()
    with contextlib.suppress(RuntimeError):  # closed in this very moment
        resident.loop.call_soon_threadsafe(taken_in.set)
        taken_in.wait(LOOP_WITHIN_S)  # what has just been handed over is no task before
    return {task for task in asyncio.all_tasks(resident.loop) if not task.done()}


def _context() -> dict[str, object]:
    """The values of the variables that a test must leave alone."""
    return {
        variable.name: value
        for variable, value in contextvars.copy_context().items()
        if variable.name.startswith(CONTEXT_VARIABLES) and variable.name not in SET_BY_EVERY_REQUEST
    }


def _changed(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """The variables whose value is another; one that has been reset is none."""
    names = sorted(before.keys() | after.keys())
    return [name for name in names if before.get(name) is not after.get(name)]


def _stray_threads(known: set[threading.Thread]) -> list[str]:
    return [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread not in known and not thread.name.startswith(RESIDENT_THREADS)
    ]


def _stray_connections(known: set[str]) -> list[str]:
    new = _sockets() - known
    if not new:
        return []
    tcp = {name: (port, state) for name, port, state in _tcp_table()}
    # A server of the whole module keeps the connections that its clients keep.
    served = {port for name, (port, state) in tcp.items() if name in known and state == LISTENING}
    return [name for name in new if name in tcp and tcp[name][0] not in served]


def _sockets() -> set[str]:
    """This process's sockets by the system's name, where it tells (Linux)."""
    own = set()
    with contextlib.suppress(FileNotFoundError):
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
                own.add(str(descriptor.readlink()))
    return {name for name in own if name.startswith("socket:")}


def _tcp_table() -> Iterator[tuple[str, str, str]]:
    """Name, local port and state of every TCP socket of the machine."""
    for version in ("tcp", "tcp6"):
        for line in Path("/proc/net", version).read_text().splitlines()[1:]:
            row = line.split()
            yield f"socket:[{row[9]}]", row[1].rpartition(":")[2], row[3]


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """pytest's, without what the resident loop's watchdog says: that is about the machine."""

    def is_about_the_test(record: logging.LogRecord) -> bool:
        resident = loop_thread._resident
        watching = None if resident is None else resident._watchdog._thread
        return watching is None or record.thread != watching.ident

    caplog.handler.addFilter(is_about_the_test)
    yield caplog
    caplog.handler.removeFilter(is_about_the_test)


@pytest.fixture(scope="module")
def module_mock_server() -> Iterator[MockServer]:
    with MockServer() as server:
        yield server


@pytest.fixture
def mock_server(module_mock_server: MockServer) -> MockServer:
    """A model server; one for a module's tests, with nothing remembered of the one before."""
    module_mock_server.reset()
    return module_mock_server


class RunningApp:
    """`xwe run` as a process of its own, on a free port of loopback."""

    def __init__(self, environ: dict[str, str], directory: Path) -> None:
        self._log = directory / "stderr.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "xwe.cli", "run", "--port", "0"],
                cwd=directory,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "LOG_LEVEL": "WARNING", **environ},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        announced = re.search(r"http://[\d.]+:\d+", self.process.stdout.readline())
        if announced is None:
            self.stop()
            pytest.fail(f"the server did not start:\n{self.log}")
        self.url = announced[0]

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text()

    def stop(self) -> int:
        """End it as an operator would; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)  # longer than it may take to drain
        self.process.kill()
        self.process.stdout.close()
        return self.process.wait()


Serve = Callable[..., RunningApp]


@pytest.fixture(scope="module")
def serve(
    module_mock_server: MockServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serve]:
    """Starts `xwe run` on the module's model server, with more variables if given."""
    with contextlib.ExitStack() as running:

        def start(**environ: str) -> RunningApp:
            provider = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": module_mock_server.base_url}
            # All the people of a module's tests come from one address.
            provider["XWE_REGISTRATIONS_PER_HOUR"] = "0"
            app = RunningApp(provider | environ, tmp_path_factory.mktemp("app"))
            running.callback(app.stop)
            return app

        yield start


@pytest.fixture(scope="module")
def app_server(serve: Serve) -> RunningApp:
    """The application with its default settings; one for a module's tests."""
    return serve()
