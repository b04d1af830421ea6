"""Ten users at the same moment: one after another, and all at once."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.request import ProxyHandler, Request, build_opener

import requests
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

from xwe import AsyncBridge, LLMClient, async_route
from xwe.cli.demo.screen import Screen, columns, padded
from xwe.cli.demo.texts import Texts

USERS: Final = 10
# An answer that is not there by then will not come.
_LONGEST_ANSWER_S: Final = 120.0
_FIGURES_WIDTH: Final = 14
_WITHOUT_PROXY: Final = build_opener(ProxyHandler({}))


@dataclass(slots=True)
class _Row:
    """One measurement: so many users ask one app at the same moment."""

    label: str
    users: int
    app: Flask
    answers: Sequence[Future[str]] = ()
    began: float = 0.0
    seconds: float | None = None


def show_users(screen: Screen, texts: Texts, client: LLMClient, latency_s: float) -> None:
    """Measure three apps and draw a bar for each.

    Raises:
        RuntimeError: a request failed.
    """
    screen.heading("1  " + texts["users"].format(count=USERS))
    before, decorated, bridged = _apps(client, {"latency_s": latency_s})
    rows = [
        _Row(texts["alone"], 1, before),
        _Row(texts["in_turn"], USERS, before),
        _Row("@async_route", USERS, decorated),
        _Row("AsyncBridge(app)", USERS, bridged),
    ]
    seconds = []
    for row in rows:
        with _served(row.app, threaded=row.app is not before) as port:
            _ask(port)  # connections and imports are not what is measured
            seconds.append(_measure(screen, row, rows, port))
    screen.settle([_line(screen, row, rows, max(seconds)) for row in rows])
    in_turn, at_once = seconds[1], max(seconds[2:])
    figures = {"count": USERS, "before": in_turn, "after": at_once, "ratio": in_turn / at_once}
    screen.say(texts["ratio"].format(**figures), is_bold=True)
    screen.remark(texts["honestly"].format(count=USERS))


def _apps(client: LLMClient, behaviour: Mapping[str, Any]) -> tuple[Flask, Flask, Flask]:
    """The same chat as a blocking view, under `async_route`, and under `AsyncBridge`."""

    def chat_before() -> dict[str, str]:
        question = {"role": "user", "content": request.get_json()["message"]}
        body = {"model": "demo", "messages": [question], "mock": behaviour}
        reply = requests.post(client.api_url, json=body, timeout=_LONGEST_ANSWER_S)
        reply.raise_for_status()
        return {"reply": reply.json()["choices"][0]["message"]["content"]}

    async def chat() -> dict[str, str]:
        message = request.get_json()["message"]
        return {"reply": (await client.complete_async(message, extra={"mock": behaviour})).text}

    before, decorated, bridged = (Flask("demo") for _ in range(3))
    before.post("/chat")(chat_before)
    decorated.post("/chat")(async_route(chat))
    AsyncBridge(bridged)
    bridged.post("/chat")(chat)
    for app in (before, decorated, bridged):
        # A failure reaches the user who asked; after Ctrl-C nobody wants its traceback.
        app.logger.disabled = True
    return before, decorated, bridged


class _SilentHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """No line for each request."""


@contextmanager
def _served(app: Flask, *, threaded: bool) -> Iterator[int]:
    """Serve `app` on loopback, with one thread or one for each open request; yields its port."""
    server = make_server("127.0.0.1", 0, app, threaded=threaded, request_handler=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    # Not in a `finally`: Ctrl-C ends the process, and must not wait for open requests.
    server.shutdown()
    thread.join()
    server.server_close()


def _measure(screen: Screen, row: _Row, rows: Sequence[_Row], port: int) -> float:
    """Ask as all the row's users at once; seconds until the last one has an answer."""
    row.answers = [Future() for _ in range(row.users)]
    row.began = time.monotonic()
    for answer in row.answers:
        # Daemons, so that Ctrl-C need not wait for answers that nobody reads.
        threading.Thread(target=_be_user, args=(port, answer), daemon=True).start()
    screen.watch(row.answers, lambda: [_line(screen, each, rows) for each in rows])
    row.seconds = time.monotonic() - row.began
    for answer in row.answers:
        answer.result()
    return row.seconds


def _be_user(port: int, answer: Future[str]) -> None:
    answer.set_running_or_notify_cancel()
    try:
        answer.set_result(_ask(port))
    except Exception as error:  # noqa: BLE001 - raised in the thread that waits
        answer.set_exception(error)


def _ask(port: int) -> str:
    body, headers = json.dumps({"message": "Hello"}).encode(), {"Content-Type": "application/json"}
    question = Request(f"http://127.0.0.1:{port}/chat", body, headers)
    try:
        with _WITHOUT_PROXY.open(question, timeout=_LONGEST_ANSWER_S) as answer:
            return str(json.load(answer)["reply"])
    except OSError as error:
        raise RuntimeError(f"A request of the demo failed: {error}") from error


def _line(screen: Screen, row: _Row, rows: Sequence[_Row], longest_s: float | None = None) -> str:
    """A row's bar: its share of answers, and in the end its time in proportion to the longest."""
    label = f"  {padded(row.label, max(columns(each.label) for each in rows))}  "
    width = screen.width - columns(label) - _FIGURES_WIDTH
    if longest_s is not None and row.seconds is not None:
        colour = "red" if row.seconds == longest_s else "green"
        return f"{label}{screen.bar(row.seconds / longest_s, width, colour)} {row.seconds:5.2f} s"
    answered = sum(answer.done() for answer in row.answers)
    bar = screen.bar(answered / row.users, width, "bright_black")
    seconds = row.seconds or time.monotonic() - row.began
    return f"{label}{bar} {answered:2}/{row.users:<2}{seconds:5.1f} s" if row.began else label
