"""The documents' module of asynchronous helpers, kept for outside code.

Everything is defined in `xwe.core.concurrency`, from where our own code imports it.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.batch import AsyncBatchProcessor
from xwe.core.concurrency.bridge import run_async_in_sync
from xwe.core.concurrency.executor import (
    BoundedThreadPoolExecutor,
    cleanup_global_executor,
    get_global_executor,
)
from xwe.core.concurrency.gather import gather_with_limit
from xwe.core.concurrency.rate_limit import RateLimiter
from xwe.core.concurrency.request_queue import AsyncRequestQueue
from xwe.core.concurrency.wrapper import AsyncWrapper

__all__ = [
    "AsyncBatchProcessor",
    "AsyncConfig",
    "AsyncHelper",
    "AsyncRequestQueue",
    "AsyncWrapper",
    "RateLimiter",
    "cleanup_global_executor",
    "gather_with_limit",
    "get_global_executor",
    "run_async_in_sync",
]

T = TypeVar("T")


class AsyncHelper:
    """The documents' static methods, over the functions of `xwe.core.concurrency`."""

    @staticmethod
    def create_executor(
        max_workers: int | None = None, queue_size: int | None = None
    ) -> BoundedThreadPoolExecutor:
        """A new bounded pool; by default sized by LLM_ASYNC_WORKERS and LLM_ASYNC_QUEUE_SIZE."""
        return BoundedThreadPoolExecutor(
            AsyncConfig.get_worker_count() if max_workers is None else max_workers,
            AsyncConfig.get_queue_size() if queue_size is None else queue_size,
        )

    @staticmethod
    async def run_with_timeout(awaitable: Awaitable[T], timeout: float | None = None) -> T:  # noqa: ASYNC109 - the documents' signature
        """The result, or a TimeoutError after `timeout` seconds (LLM_ASYNC_TIMEOUT if None)."""
        limit_s = AsyncConfig.get_timeout() if timeout is None else timeout
        return await asyncio.wait_for(awaitable, limit_s)

    @staticmethod
    async def gather_with_limit(
        coros: Iterable[Awaitable[Any]],
        limit: int = 10,
        return_exceptions: bool = True,  # noqa: FBT001, FBT002 - the documents' signature
    ) -> list[Any]:
        """All results in order, `limit` at a time; a failure takes its own place."""
        return await gather_with_limit(coros, limit, return_exceptions)

    @staticmethod
    def run_async_in_sync(awaitable: Awaitable[T], timeout: float | None = None) -> T:
        """Run a coroutine from synchronous code and return its result."""
        return run_async_in_sync(awaitable, timeout)
