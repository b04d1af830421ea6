"""For the kill switch (LLM_ASYNC_ENABLED=false): a loop for one call, in the calling thread."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from xwe.core.concurrency.loop_thread import LoopThread
from xwe.errors import DeadlineExceededError

T = TypeVar("T")


class OwnLoop:
    """Runs coroutines in the calling thread, as slow and as simple as the code they replaced.

    Where a loop already runs in that thread (a notebook), the second one gets its own thread.
    """

    def __init__(self) -> None:
        self._runs_on: asyncio.Runner | LoopThread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        coro: Coroutine[Any, Any, T],
        timeout_s: float | None = None,
        *,
        context: contextvars.Context,
    ) -> T:
        """As `LoopThread.run`; one coroutine at a time."""
        if self._runs_on is None:
            self._runs_on = LoopThread("xwe-once") if _loop_runs_here() else asyncio.Runner()
        if isinstance(self._runs_on, LoopThread):
            return self._runs_on.run(coro, timeout_s, context=context)
        return self._runs_on.run(_bounded(coro, timeout_s), context=context)

    def close(self) -> None:
        """End the loop."""
        if self._runs_on is not None:
            self._runs_on.close()


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _bounded(coro: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    try:
        async with asyncio.timeout(timeout_s) as deadline:
            return await coro
    except TimeoutError as error:
        if not deadline.expired():  # the coroutine's own
            raise
        raise DeadlineExceededError(f"No answer within {timeout_s:.3g} s.") from error
