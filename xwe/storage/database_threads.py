"""Storage from a coroutine: units of work block, so they run in a pool of threads.

It is a separate pool, because a database that does not answer must not hold up the threads that
talk to the model, and a small one, because more threads than connections would only wait.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from xwe.core.concurrency.executor import BoundedThreadPoolExecutor, offload

T = TypeVar("T")

# Below the default number of connections, so that request threads always find one.
MAX_THREADS = 12
# Waits are short; the bound is for a database that is unavailable.
MAX_WAITING = 4000


class _Pool:
    """The process's pool, created at the first use."""

    guard = threading.Lock()
    executor: BoundedThreadPoolExecutor | None = None


def _executor() -> BoundedThreadPoolExecutor:
    with _Pool.guard:
        if _Pool.executor is None:
            _Pool.executor = BoundedThreadPoolExecutor(
                MAX_THREADS, MAX_WAITING, thread_name_prefix="xwe-database"
            )
        return _Pool.executor


async def in_database(func: Callable[..., T], /, *args: object) -> T:
    """Run `func(*args)`, which opens units of work, in a thread, and await its result.

    Cancelling releases the caller; a function that has started runs to its end.

    Raises:
        SaturatedError: too many calls wait for the database.
    """
    return await offload(func, *args, executor=_executor())


def close_database_threads() -> None:
    """Wait for running calls and end the threads; the next use creates new ones. Idempotent."""
    with _Pool.guard:
        executor, _Pool.executor = _Pool.executor, None
    if executor is not None:
        executor.shutdown(wait=True)
