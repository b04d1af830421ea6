"""Checks that repeat on the resident loop until the process ends."""

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
class Check:
    """One check.

    Attributes:
        what: its subject, for the log.
        period_s: the wait between two runs.
        act: runs it once.
    """

    what: str
    period_s: float
    act: Callable[[], Coroutine[Any, Any, object]]


class Periodic:
    """Repeats checks; one that fails is logged, and runs again after its pause."""

    _tasks: list[Future[None]]

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks
        self._guard = threading.Lock()
        self._pid: int | None = None
        self._pauses = Pauses()
        self._tasks = []

    def start(self) -> None:
        """Start, in this process. Idempotent."""
        if self._pid == os.getpid():
            return
        with self._guard:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._pauses = Pauses()
            loop_thread = get_loop_thread()
            self._tasks = [loop_thread.submit(self._repeat(check)) for check in self._checks]

    def close(self) -> None:
        """Stop. Idempotent."""
        with self._guard:
            tasks, self._tasks = self._tasks, []
            if self._pid != os.getpid():  # another process's, from before a fork
                return
        self._pauses.end(tasks)

    async def _repeat(self, check: Check) -> None:
        goes_on = True
        while goes_on:
            try:
                await check.act()
            except XweError as error:
                log.warning("The check of %s failed: %s", check.what, error)
            except Exception:
                # Any error: the next run may succeed, and nobody else runs this check.
                log.exception("The check of %s failed", check.what)
            goes_on = await self._pauses.pause(check.period_s)
