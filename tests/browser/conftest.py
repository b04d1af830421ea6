"""A real Chromium for each module, and pages that remember what their console said."""

import contextlib
import os
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

OpenPage = Callable[..., Page]

AXE = "axe-core@4.14.1"
AXE_FOLDER = Path(__file__).parents[2] / ".cache" / "npm" / AXE
INSTALL_TIMEOUT_S = 25


# Not for the whole session: while it runs, this thread counts as running an event loop, and
# asynchronous tests could not.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        yield browser
        browser.close()


class Relay(socketserver.ThreadingTCPServer):
    """Passes connections on, but stops within a character of a reply until it may go on.

    It can be cut like a cable: every connection ends, and none is made until it is mended.
    """

    daemon_threads = True

    def __init__(self, url: str, stop_within: str) -> None:
        super().__init__(("127.0.0.1", 0), _RelayedConnection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.target = (urlsplit(url).hostname, urlsplit(url).port)
        self.character = stop_within.encode()
        self.is_cut = False
        self.open = set()
        self._may_go_on = threading.Event()

    def go_on(self) -> None:
        self._may_go_on.set()

    def cut(self) -> None:
        self.is_cut = True
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.is_cut = False

    def send(self, client: socket.socket, reply: bytes) -> None:
        before, found, after = reply.partition(self.character)
        client.sendall(before + found[:1])
        if found:
            self._may_go_on.wait(10)
            client.sendall(found[1:] + after)


class _RelayedConnection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        if self.server.is_cut:
            return
        with socket.create_connection(self.server.target) as upstream:
            self.server.open |= {self.request, upstream}
            requests = threading.Thread(target=self._pass_requests_on, args=(upstream,))
            requests.start()
            with contextlib.suppress(OSError):
                while reply := upstream.recv(65_536):
                    self.server.send(self.request, reply)
            with contextlib.suppress(OSError):
                self.request.shutdown(socket.SHUT_RDWR)
            requests.join()
            self.server.open -= {self.request, upstream}

    def _pass_requests_on(self, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while asked := self.request.recv(65_536):
                upstream.sendall(asked)
        with contextlib.suppress(OSError):
            upstream.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay() -> Iterator[Callable[..., Relay]]:
    """Puts a `Relay` before a server; closed after the pages that go through it."""
    with contextlib.ExitStack() as running:

        def start(url: str, *, stop_within: str) -> Relay:
            server = running.enter_context(Relay(url, stop_within))
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            running.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def open_page(chromium: Browser, relay: object) -> Iterator[OpenPage]:
    """Opens an address in a browser of its own; `page.problems` is what its console complained."""
    contexts: list[BrowserContext] = []

    def open_page(url: str, *, locale: str = "zh-CN", width: int = 1280, height: int = 800) -> Page:
        viewport = {"width": width, "height": height}
        context = chromium.new_context(viewport=viewport, locale=locale)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def axe_source() -> str:
    """The script of axe-core, which looks for what keeps people from using a page."""
    script = AXE_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        reason = _install_axe()
        if reason is not None:
            if os.environ.get("XWE_REQUIRE_SERVICES") == "1":
                pytest.fail(f"{reason}, and XWE_REQUIRE_SERVICES=1")
            pytest.skip(reason)
    return script.read_text("utf-8")


def _install_axe() -> str | None:
    """Install it into the ignored cache; why that cannot be done, or None when it is."""
    if shutil.which("npm") is None:
        return "npm is not installed"
    AXE_FOLDER.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    command.append("--fetch-retries=0")
    try:
        done = subprocess.run(
            [*command, "--prefix", str(AXE_FOLDER), AXE],
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm took longer than {INSTALL_TIMEOUT_S} s to install {AXE}"
    return f"npm cannot install {AXE}: {done.stderr.strip()[-300:]}" if done.returncode else None


@pytest.fixture
def assert_accessible(axe_source: str) -> Callable[[Page], None]:
    """Fails when axe-core finds something serious on a page as it is now."""

    def check(page: Page) -> None:
        page.evaluate(axe_source)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [
            (each["id"], each["help"], [node["html"][:200] for node in each["nodes"]])
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == []

    return check
