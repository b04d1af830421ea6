"""Servers in processes of their own, and a line on which an application inside one can talk."""

import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# A busy small machine needs many seconds to start Python with everything that the application
# imports, and for anything else that goes on in another process.
SOON_S = 60.0


def clean_environment(**changes):
    """The environment without any setting of ours, then with `changes`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XWE_", "LLM_", "GUNICORN_")) and not name.endswith("_API_KEY")
    }
    kept.pop("HOST", None)
    return kept | {"PORT": "0", "PYTHONUNBUFFERED": "1"} | changes


class Server:
    """A server process; its standard error is kept in a file."""

    def __init__(self, command, directory, environ):
        self.log_file = directory / "server.log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,  # so that what select() sees is all there is
                start_new_session=True,
            )
        self.clients = []
        self.announcement = []
        self.port = 0

    @property
    def log(self):
        return self.log_file.read_text("utf-8", "replace")

    def wait_until_ready(self):
        """Read the three lines that it says when it listens."""
        for _ in range(3):
            readable, _, _ = select.select([self.process.stdout], [], [], SOON_S)
            line = self.process.stdout.readline().decode() if readable else ""
            if not line:
                pytest.fail(f"the server did not start:\n{self.log}")
            self.announcement.append(line.rstrip("\n"))
        self.port = int(self.announcement[0].split(" - ")[0].rpartition(":")[2])
        return self

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=SOON_S)

    def connect_many(self, count):
        """Connections that are closed with the server, however the test goes."""
        for _ in range(count):
            self.clients.append(self.connect())
        return self.clients

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its exit status."""
        try:
            return self.process.wait(SOON_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the server did not end:\n{self.log}")

    def end(self):
        """End it and everything it started, however the test went."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for open_file in (self.process.stdout, *self.clients):
            open_file.close()


@pytest.fixture
def start_server(tmp_path):
    """Start `command` in an empty directory; ended with the test."""
    servers = []

    def start(command, **environ):
        server = Server(command, tmp_path, clean_environment(**environ))
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def gunicorn(start_server, tmp_path):
    """Serve the WSGI application whose source is given, under gunicorn with our configuration."""

    def start(source, *options, **environ):
        (tmp_path / "app.py").write_text(source, encoding="utf-8")
        command = [
            *(sys.executable, "-m", "gunicorn"),
            *("-c", str(ROOT / "config" / "gunicorn.conf.py"), *options, "app:application"),
        ]
        # An address, so that no model server is started: these applications ask no model.
        demo = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
        return start_server(command, **demo | environ).wait_until_ready()

    return start


class Witness:
    """What an application in another process tells, and is told, one word a datagram."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(SOON_S)
        self.port = self.socket.getsockname()[1]
        self.other = None

    def hear(self):
        word, self.other = self.socket.recvfrom(100)
        return word.decode()

    def say(self, word):
        self.socket.sendto(word.encode(), self.other)


@pytest.fixture
def witness():
    it = Witness()
    yield it
    it.socket.close()
