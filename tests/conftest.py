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
RESIDENT_THREADS = ("xwe-loop", "xwe-watchdog", "xwe-global", "asyncio_", "MainThread")
LEAK_GRACE_S = 3.0

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
    threads, sockets = set(threading.enumerate()), _tcp_sockets()
    yield
    deadline = time.monotonic() + LEAK_GRACE_S
    while left := _left(threads, sockets):
        if time.monotonic() > deadline:
            pytest.fail("left behind: " + ", ".join(left))
        time.sleep(
            0.005
        )  # closing is somebody else's work by now, and tells nobody when it is done


def _left(threads: set[threading.Thread], sockets: set[str]) -> list[str]:
    strays = [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread not in threads and not thread.name.startswith(RESIDENT_THREADS)
    ]
    return strays + [f"TCP {name}" for name in _tcp_sockets() - sockets]


def _tcp_sockets() -> set[str]:
    """This process's TCP sockets, where the system lists them (Linux)."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        return set()
    own = set()
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
            own.add(os.readlink(descriptor))
    tables = (Path("/proc/net", name).read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
    rows = (row.split() for table in tables for row in table)
    return {f"socket:[{row[9]}]" for row in rows} & own


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
