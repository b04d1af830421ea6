"""Blocking and asynchronous functions, awaited alike."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor, new_executor, offload
from xwe.errors import ClosedError

P = ParamSpec("P")
R = TypeVar("R")


class AsyncWrapper(Generic[P, R]):
    """Makes any function awaitable: `await wrapped(*args)`.

    A synchronous function runs in a thread pool with the caller's context variables (in the
    calling thread with LLM_ASYNC_ENABLED=false); an asynchronous one is awaited on the caller's
    loop. An awaitable that a synchronous one returns (a lambda around a coroutine function) is
    awaited too. Errors are passed on unchanged.

    Args:
        func: the function.
        executor: the pool for a synchronous function, which the caller shuts down. By default the
            wrapper makes its own, sized by LLM_ASYNC_WORKERS and LLM_ASYNC_QUEUE_SIZE.

    Raises (from the call): ClosedError after `cleanup()`, SaturatedError when the pool is full.
    """

    @overload
    def __init__(
        self: "AsyncWrapper[P, R]",
        func: Callable[P, Awaitable[R]],
        executor: ThreadPoolExecutor | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncWrapper[P, R]", func: Callable[P, R], executor: ThreadPoolExecutor | None = None
    ) -> None: ...

    def __init__(self, func: Callable[P, Any], executor: ThreadPoolExecutor | None = None) -> None:
        self._func = func
        self._is_async = _is_coroutine_function(func)
        self._closed = False
        self._own: BoundedThreadPoolExecutor | None = None
        if executor is None and not self._is_async:
            executor = self._own = new_executor("xwe-wrapper")
        self._executor = executor
        functools.update_wrapper(self, func)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function and await its result."""
        if self._closed:
            raise ClosedError(f"{self!r} was called after its cleanup()")
        if self._is_async or not AsyncConfig.is_async_enabled():
            result = self._func(*args, **kwargs)
        else:
            # Bound first: the function may have a parameter named `executor` too.
            call = functools.partial(self._func, *args, **kwargs)
            result = await offload(call, executor=self._executor)
        return cast("R", await result if inspect.isawaitable(result) else result)

    def __repr__(self) -> str:
        return f"<AsyncWrapper of {getattr(self._func, '__qualname__', self._func)!s}>"

    def cleanup(self) -> None:
        """Take no more calls and end the wrapper's own threads. Idempotent; does not wait for work.

        Calls that are running or waiting finish. A pool that was passed in is left alone.
        """
        self._closed = True
        if self._own is not None:
            shut_down(self._own)


def shut_down(pool: BoundedThreadPoolExecutor) -> None:
    """Shut a pool down without waiting for its work; the threads of an idle pool have ended."""
    stats = pool.stats()
    pool.shutdown(wait=stats.running + stats.waiting == 0)


def _is_coroutine_function(func: Callable[..., Any]) -> bool:
    """Also for a partial, a bound method, and an object with an `async def __call__`."""
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
        getattr(func, "__call__", None)  # noqa: B004 - asks for its kind, not whether it exists
    )
