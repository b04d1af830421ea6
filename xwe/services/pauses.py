"""Pauses between looks: they end at once at the process's end, and what looks is waited for."""

import asyncio
import contextlib
from collections.abc import Iterable
from concurrent.futures import Future, wait

from xwe.core.concurrency.loop_thread import get_loop_thread

# A look takes as long as the database; one that hangs is left alone.
END_WITHIN_S = 5.0


class Pauses:
    """Of coroutines on the resident loop, to be ended by any other thread."""

    def __init__(self) -> None:
        self._is_over = False
        self._over: asyncio.Event | None = None

    async def pause(self, period_s: float) -> bool:
        """Wait; whether to go on afterwards."""
        if self._over is None:
            self._over = asyncio.Event()
        if not self._is_over:  # asked only now: `end` looks for the event after having said so
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), period_s)
        return not self._is_over

    def end(self, lookers: Iterable[Future[None]]) -> None:
        """End all pauses, for good, and wait for those who look. Idempotent."""
        self._is_over = True
        if self._over is not None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                get_loop_thread().loop.call_soon_threadsafe(self._over.set)
        _, late = wait(lookers, END_WITHIN_S)
        for looker in late:
            looker.cancel()
