"""Work on the resident loop, and a screen that shows how it comes along."""

import queue
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from xwe.cli.demo.screen import REDRAW_EVERY_S
from xwe.core.concurrency.blocking import create_task

T = TypeVar("T")


class News:
    """Tells the thread that draws that something has changed. For any thread."""

    def __init__(self) -> None:
        self._changes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def tell(self) -> None:
        """There is something new to draw."""
        self._changes.put(None)

    def wait(self) -> None:
        """Return when there is news, or it is time to look anyway."""
        try:
            self._changes.get(timeout=REDRAW_EVERY_S)
            while True:
                self._changes.get_nowait()
        except queue.Empty:
            pass


def watch(work: Coroutine[Any, Any, T], news: News, draw: Callable[[], None]) -> T:
    """Run `work` on the loop and draw whenever there is news; its result."""
    task = create_task(work)
    task.add_done_callback(lambda _: news.tell())
    drawn_at = 0.0
    try:
        while not task.done():
            news.wait()
            if time.monotonic() - drawn_at >= REDRAW_EVERY_S:
                draw()
                drawn_at = time.monotonic()
    finally:
        task.cancel()  # done already, unless Ctrl-C ended the drawing
    return task.result()
