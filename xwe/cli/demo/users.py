"""Ten users at the same moment: one after another, and all at once."""

import http.client
import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from xwe.cli.demo.apps import LONGEST_ANSWER_S, async_route_app, blocking_app, bridge_app, served
from xwe.cli.demo.screen import REDRAW_EVERY_S, Screen, columns, padded
from xwe.cli.demo.texts import Texts
from xwe.core.nlp.llm_client import LLMClient

USERS = 10
_FIGURES_WIDTH = 16
_WITH_NOTES_WIDTH = 72
_SHORTEST_BAR = 8
_OK = 200


@dataclass(slots=True)
class _Row:
    """One measurement on the screen."""

    label: str
    note: str
    users: int
    answered: int = 0
    seconds: float = 0.0


def show_users(screen: Screen, texts: Texts, client: LLMClient, latency_s: float) -> None:
    """Measure three apps and draw a bar for each.

    Raises:
        click.ClickException: a request failed.
    """
    screen.heading("1  " + texts.users.format(count=USERS))
    behaviour = {"latency_s": latency_s}
    alone = _Row(texts.alone, texts.threads, 1)
    in_turn = _Row(texts.in_turn, texts.threads, USERS)
    decorated = _Row("@async_route", texts.many_threads, USERS)
    bridged = _Row("AsyncBridge(app)", texts.many_threads, USERS)
    rows = [alone, in_turn, decorated, bridged]

    def draw() -> None:
        screen.draw([_growing(screen, row, rows) for row in rows])

    with served(blocking_app(client.api_url, behaviour), threaded=False) as port:
        _ask_at_once(port, 1, lambda _answered, _seconds: None)
        _measure(port, alone, draw)
        _measure(port, in_turn, draw)
    for row, app in (
        (decorated, async_route_app(client, behaviour)),
        (bridged, bridge_app(client, behaviour)),
    ):
        with served(app, threaded=True) as port:
            _ask_at_once(port, 1, lambda _answered, _seconds: None)
            _measure(port, row, draw)

    longest_s = max(row.seconds for row in rows)
    screen.settle([_finished(screen, row, rows, longest_s) for row in rows])
    after_s = max(decorated.seconds, bridged.seconds)
    ratio = in_turn.seconds / after_s
    figures = {"count": USERS, "before": in_turn.seconds, "after": after_s, "ratio": ratio}
    screen.result(texts.ratio.format(**figures))
    screen.remark(texts.honestly.format(count=USERS))


def _measure(port: int, row: _Row, draw: Callable[[], None]) -> None:
    def progress(answered: int, seconds: float) -> None:
        row.answered, row.seconds = answered, seconds
        draw()

    progress(row.users, _ask_at_once(port, row.users, progress))


def _ask_at_once(port: int, users: int, progress: Callable[[int, float], None]) -> float:
    """Ask as so many users at the same moment; seconds until the last one has an answer."""
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    start = threading.Barrier(users + 1)

    def user(number: int) -> None:
        start.wait()
        try:
            _ask(port, f"Question {number}")
        except Exception as error:  # noqa: BLE001 - told below, in the thread that can tell
            answers.put(error)
        else:
            answers.put(None)

    # Daemons, so that Ctrl-C need not wait for answers that nobody reads.
    threads = [threading.Thread(target=user, args=(n,), daemon=True) for n in range(users)]
    for thread in threads:
        thread.start()
    start.wait()
    begun = time.monotonic()
    answered = 0
    while answered < users:
        try:
            error = answers.get(timeout=REDRAW_EVERY_S)
        except queue.Empty:
            pass
        else:
            if error is not None:
                raise click.ClickException(f"A request of the demo failed: {error}") from error
            answered += 1
        progress(answered, time.monotonic() - begun)
    seconds = time.monotonic() - begun
    for thread in threads:
        thread.join()
    return seconds


def _ask(port: int, message: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_ANSWER_S)
    try:
        body = json.dumps({"message": message})
        connection.request("POST", "/chat", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != _OK or not json.loads(answer)["reply"]:
        raise ConnectionError(f"the view answered with status {response.status}")


def _bar_width(screen: Screen, rows: list[_Row]) -> int:
    label = _labelled(screen, rows[0], rows)
    return max(_SHORTEST_BAR, screen.width - columns(label) - _FIGURES_WIDTH)


def _labelled(screen: Screen, row: _Row, rows: list[_Row]) -> str:
    label = f"  {padded(row.label, max(columns(other.label) for other in rows))}  "
    if screen.width < _WITH_NOTES_WIDTH:
        return label
    return f"{label}{padded(row.note, max(columns(other.note) for other in rows))}  "


def _growing(screen: Screen, row: _Row, rows: list[_Row]) -> str:
    """While it is measured the bar is the share of answers."""
    bar = screen.bar(row.answered, row.users, _bar_width(screen, rows))
    figures = f" {row.answered:2}/{row.users:<2} {row.seconds:5.1f} s" if row.seconds else ""
    return _labelled(screen, row, rows) + screen.style(bar, colour="bright_black") + figures


def _finished(screen: Screen, row: _Row, rows: list[_Row], longest_s: float) -> str:
    """Once all are measured the bars are their times, in one scale."""
    bar = screen.bar(row.seconds, longest_s, _bar_width(screen, rows))
    is_slow = row.seconds == longest_s
    drawn = screen.style(bar, colour="red" if is_slow else "green")
    return f"{_labelled(screen, row, rows)}{drawn} {row.seconds:5.2f} s"
