"""Pauses between checks, which the end of the process cuts short."""

import asyncio
import contextlib
from collections.abc import Iterable
from concurrent.futures import Future, wait

from xwe.core.concurrency.loop_thread import get_loop_thread

# A check takes as long as the database does; one that hangs is cancelled.
END_WITHIN_S = 5.0


class Pauses:
    """The pauses of coroutines on the resident loop; any other thread can end them."""

    def __init__(self) -> None:
        self._is_over = False
        self._over: asyncio.Event | None = None

    async def pause(self, period_s: float) -> bool:
        """Wait; False when the coroutine should end."""
        if self._over is None:
            self._over = asyncio.Event()
        if not self._is_over:  # in this order: `end` sets the flag before it looks for the event
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), period_s)
        return not self._is_over

    def end(self, coroutines: Iterable[Future[None]]) -> None:
        """End all pauses permanently, and wait for the coroutines. Idempotent."""
        self._is_over = True
        if self._over is not None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                get_loop_thread().loop.call_soon_threadsafe(self._over.set)
        _, late = wait(coroutines, END_WITHIN_S)
        for coroutine in late:
            coroutine.cancel()
