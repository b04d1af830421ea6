"""A real Chromium for each module, and pages that remember what their console said."""

import contextlib
import itertools
import shutil
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from chat_reader import Reader
from npm_packages import npm_installed
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from xwe.mock import MockServer
from xwe.storage.database import Database

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A browser beside other tests may take its time: what is waited for comes, or it does not.
PATIENCE_MS = 60_000

# What the servers of these tests wait for may take its time as well; no test here is about it.
PATIENT_SERVER = {
    "LLM_ASYNC_TIMEOUT": "100",
    "LLM_CONNECT_TIMEOUT": "60",
    "LLM_FIRST_TOKEN_TIMEOUT": "100",
    "LLM_IDLE_TIMEOUT": "100",
    "XWE_DATABASE_TIMEOUT_S": "60",
}

OpenPage = Callable[..., Page]

AXE = "axe-core@4.14.1"

_names = (f"reader{number}" for number in itertools.count())


expect.set_options(timeout=PATIENCE_MS)


# Not for the whole session: while it runs, this thread counts as running an event loop, and
# asynchronous tests could not.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The shell is Chromium without the pages of a window of its own: a third faster.
        found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
        browser = playwright.chromium.launch(
            executable_path=found, args=ARGUMENTS, timeout=PATIENCE_MS
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
            self._may_go_on.wait(100)
            client.sendall(found[1:] + after)


class _RelayedConnection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        # Before it is asked whether the cable is cut: who cuts it meanwhile finds this one.
        self.server.open.add(self.request)
        if self.server.is_cut:
            self.server.open.discard(self.request)
            return
        with socket.create_connection(self.server.target) as upstream:
            self.server.open.add(upstream)
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
            running.callback(server.go_on)
            running.callback(server.cut)  # whoever is slow to close a connection loses it
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            running.callback(server.shutdown)
            return server

        yield start


@pytest.fixture(scope="module")
def serve(serve: Callable[..., Any]) -> Callable[..., Any]:
    """Starts `xwe run`, with more variables if given; one that is patient."""
    return lambda **environ: serve(**PATIENT_SERVER | environ)


@pytest.fixture
def open_page(chromium: Browser, relay: object) -> Iterator[OpenPage]:
    """Opens an address in a browser of its own; `page.problems` is what its console complained."""
    contexts: list[BrowserContext] = []

    def open_page(url: str, *, locale: str = "zh-CN", width: int = 1280, height: int = 800) -> Page:
        viewport = {"width": width, "height": height}
        context = chromium.new_context(viewport=viewport, locale=locale)
        context.set_default_timeout(PATIENCE_MS)
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
    place = npm_installed(AXE, "install", "--no-save", AXE)
    return (place / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


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


# --- chats that are kept ---


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('database')}/xwe.db"


@pytest.fixture(scope="module")
def chat_server(serve: Callable[..., Any], database_url: str) -> Any:
    return serve(XWE_DATABASE_URL=database_url)


@pytest.fixture
def database(chat_server: Any, database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def sign_up(open_page: Callable[..., Page], database: Database) -> Callable[..., Reader]:
    """Opens a browser in which somebody new is signed in."""

    def sign_up(url: str, **options: Any) -> Reader:
        page = open_page(f"{url}/login", **options)
        reply = page.context.request.post(
            f"{url}/auth/register",
            data={"username": next(_names), "password": "a long password"},
            headers={"Origin": url},
        )
        assert reply.ok, reply.text()
        return Reader(page, reply.json()["user"]["id"], url, database)

    return sign_up


@pytest.fixture
def reader(sign_up: Callable[..., Reader], chat_server: Any, mock_server: MockServer) -> Reader:
    return sign_up(chat_server.url)


@pytest.fixture
def chat(reader: Reader) -> Page:
    """The chat with somebody to whom nothing was said yet."""
    reader.make()
    return reader.open()


# --- characters that are made ---


@pytest.fixture
def model(mock_server: MockServer) -> Iterator[MockServer]:
    """A model server that behaves as before once the test is over."""
    yield mock_server
    mock_server.follow()


@pytest.fixture
def open_signed_in(open_page: OpenPage, app_server: Any, model: MockServer) -> OpenPage:
    """Opens a path as somebody who has just signed up, at another server than usual if given."""

    def open_signed_in(
        path: str = "/characters", *, url: str = app_server.url, **options: Any
    ) -> Page:
        page = open_page(url + "/login", **options)
        who = {"username": next(_names), "password": "a long password"}
        headers = {"Origin": url}
        assert page.request.post(url + "/auth/register", data=who, headers=headers).ok
        page.goto(url + path)
        return page

    return open_signed_in
