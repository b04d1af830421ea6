"""Looks that are repeated on the resident loop until the process ends."""

import logging
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import XweError
from xwe.services.pauses import Pauses

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What is done again and again.

    Attributes:
        what: it is about, for the log.
        period_s: how long to wait between two of them.
        act: does it once.
    """

    what: str
    period_s: float
    act: Callable[[], Coroutine[Any, Any, object]]


class Periodic:
    """Repeats looks; one that fails is told in the log, and made again after its pause."""

    _tasks: list[Future[None]]

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = looks
        self._guard = threading.Lock()
        self._pid: int | None = None
        self._pauses = Pauses()
        self._tasks = []

    def start(self) -> None:
        """Begin, in this process. Idempotent."""
        if self._pid == os.getpid():
            return
        with self._guard:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._pauses = Pauses()
            loop_thread = get_loop_thread()
            self._tasks = [loop_thread.submit(self._repeat(look)) for look in self._looks]

    def close(self) -> None:
        """Look no more. Idempotent."""
        with self._guard:
            tasks, self._tasks = self._tasks, []
            if self._pid != os.getpid():  # another process's, from before a fork
                return
        self._pauses.end(tasks)

    async def _repeat(self, look: Look) -> None:
        goes_on = True
        while goes_on:
            try:
                await look.act()
            except XweError as error:
                log.warning("Looking after %s failed: %s", look.what, error)
            except Exception:
                # Whatever it is, the next look may go well, and nobody else looks.
                log.exception("Looking after %s failed", look.what)
            goes_on = await self._pauses.pause(look.period_s)
