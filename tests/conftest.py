"""What every test gets: a clean environment, a model server on request, and a guard for leaks."""

import contextlib
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

from xwe.mock import MockServer

# CI sets it, so that a missing service is a failure there and a skipped test elsewhere.
REQUIRE_SERVICES = "XWE_REQUIRE_SERVICES"
SERVICE_PORTS = {"postgresql": 5432, "redis": 6379}

# The process keeps these for its life: the resident loop and what belongs to it.
RESIDENT_THREADS = ("xwe-loop", "xwe-watchdog", "xwe-global", "asyncio_", "uvloop_", "MainThread")
LEAK_GRACE_S = 3.0
LISTENING = "0A"  # as /proc/net/tcp has it

_SETTINGS = re.compile(r"(LLM_|XWE_(?!REQUIRE_SERVICES)).*|[A-Z]+_API_KEY|HOST|PORT")


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
    if item.get_closest_marker("browser") and shutil.which("chromium") is None:
        yield "chromium is not installed"
    for marker in item.iter_markers("service"):
        name = marker.args[0]
        try:
            socket.create_connection(("127.0.0.1", SERVICE_PORTS[name]), timeout=1).close()
        except OSError as error:
            yield f"{name} does not answer on loopback: {error}"


@pytest.fixture(autouse=True)
def leak_guard() -> Iterator[None]:
    """Fails a test that leaves a thread or a TCP socket behind."""
    threads, sockets = set(threading.enumerate()), _sockets()
    yield
    deadline = time.monotonic() + LEAK_GRACE_S
    while left := [*_stray_threads(threads), *_stray_connections(sockets)]:
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(left))
        time.sleep(0.005)  # closing is somebody else's work by now, and nobody tells of its end


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


@pytest.fixture(scope="module")
def module_mock_server() -> Iterator[MockServer]:
    with MockServer() as server:
        yield server


@pytest.fixture
def mock_server(module_mock_server: MockServer) -> MockServer:
    """A model server; one for a module's tests, with nothing remembered of the one before."""
    module_mock_server.forget_requests()
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
            self.process.wait(20)
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
            app = RunningApp(provider | environ, tmp_path_factory.mktemp("app"))
            running.callback(app.stop)
            return app

        yield start


@pytest.fixture(scope="module")
def app_server(serve: Serve) -> RunningApp:
    """The application with its default settings; one for a module's tests."""
    return serve()
