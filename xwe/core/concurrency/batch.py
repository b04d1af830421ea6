"""Many small requests in batches: a whole list, or one by one as they come."""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Self, TypeVar

from xwe.core.concurrency.executor import BoundedThreadPoolExecutor
from xwe.core.concurrency.gather import gather_with_limit
from xwe.core.concurrency.wrapper import AsyncWrapper, shut_down
from xwe.errors import ClosedError

T = TypeVar("T")
R = TypeVar("R")

# A loop submits no more calls than may run, so the pool's queue only fills with calls abandoned
# behind functions that hang; then a refusal is better than unbounded growth.
POOL_QUEUE_SIZE = 1000


class AsyncBatchProcessor(Generic[T, R]):
    """Calls a function for many items, from any loop.

    There are two ways to use it, each with its own contract for `process_func`:

    - `process_batch(items)` calls `process_func(item)` for each item;
    - `add_request(item)` collects items until there are `batch_size` of them or the oldest has
      waited for `timeout` seconds, then calls `process_func(items)` with the list. That returns a
      list of as many results in the same order; an exception in it fails that request alone.

    An `async def` function is awaited on the caller's loop; a synchronous one runs in the
    processor's own threads. The processor is also an async context manager.

    Args:
        process_func: as above.
        batch_size: the most items in a batch.
        timeout: how long the first item of a batch waits for others, in seconds.
        max_concurrent_batches: batches of `add_request` that run at once, per loop.
        max_workers: items of `process_batch` processed at once, per loop, over all its calls; also
            the number of threads for a synchronous function, over all loops.
    """

    def __init__(
        self,
        process_func: Callable[..., Any],
        batch_size: int = 10,
        timeout: float = 1.0,
        max_concurrent_batches: int = 1,
        max_workers: int = 5,
    ) -> None:
        if min(batch_size, max_concurrent_batches, max_workers) < 1 or timeout < 0:
            raise ValueError(
                "batch_size, max_concurrent_batches and max_workers must be at least 1, "
                "and timeout (seconds) at least 0"
            )
        self._pool = BoundedThreadPoolExecutor(
            max_workers, POOL_QUEUE_SIZE, thread_name_prefix="xwe-batch"
        )
        self._process: AsyncWrapper[..., Any] = AsyncWrapper(process_func, self._pool)
        self._limits = _Limits(batch_size, timeout, max_concurrent_batches, max_workers)
        # A collected batch serves several callers, so it runs in none of their contexts.
        self._context = contextvars.copy_context()
        self._guard = threading.Lock()
        self._collectors: dict[asyncio.AbstractEventLoop, _Collector[T, R]] = {}
        self._closed = False

    async def process_batch(
        self, items: Iterable[T], *, return_exceptions: bool = True
    ) -> list[R | BaseException]:
        """The results of `process_func(item)` in the items' order, `max_workers` at a time.

        An item that fails leaves its exception in its place: check for
        `isinstance(result, BaseException)`. With `return_exceptions=False` the first error ends
        the batch and is raised. Items may be any iterable, read as running ones end. Cancelling
        cancels the items in progress (a synchronous function runs to its end in its thread) and
        starts no more.

        Raises:
            ClosedError: after `close()`.
        """
        collector = self._collector()

        async def process(item: T) -> R:
            async with collector.slots:
                result: R = await self._process(item)
                return result

        with collector.visit():
            return await gather_with_limit(
                (process(item) for item in items), self._limits.max_workers, return_exceptions
            )

    async def add_request(self, item: T) -> asyncio.Future[R]:
        """Collect `item` for the next batch and return the future of its result, without waiting.

        Cancelling the future drops the item if its batch has not started, else its result. A
        batch that fails fails its own futures and no others.

        Raises:
            ClosedError: after `close()`.
        """
        return self._collector().add(item)

    async def flush(self) -> None:
        """Process what this loop has collected, and wait until all of it is done.

        Errors of a batch are left to its futures.
        """
        await self._collector_of_loop().flush()

    async def close(self) -> None:
        """Accept nothing more, finish what this loop has begun, and end the threads. Idempotent.

        Requests that another loop has collected but not started fail with ClosedError.
        """
        with self._guard:
            self._closed = True
            others = dict(self._collectors)
        collector = others.pop(asyncio.get_running_loop(), None)
        for loop, other in others.items():
            with contextlib.suppress(RuntimeError):  # that loop has ended, and its futures with it
                loop.call_soon_threadsafe(other.refuse)
        if collector is not None:
            await collector.flush()
            await collector.left()
        shut_down(self._pool)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _collector(self) -> "_Collector[T, R]":
        if self._closed:
            raise ClosedError("the batch processor is closed")
        return self._collector_of_loop()

    def _collector_of_loop(self) -> "_Collector[T, R]":
        loop = asyncio.get_running_loop()
        collector = self._collectors.get(loop)
        if collector is None:
            with self._guard:
                for ended in [known for known in self._collectors if known.is_closed()]:
                    del self._collectors[ended]
                collector = _Collector(loop, self._process, self._limits, self._context)
                self._collectors[loop] = collector
        return collector


@dataclass(frozen=True, slots=True)
class _Limits:
    batch_size: int
    timeout_s: float
    max_batches: int
    max_workers: int


@dataclass(frozen=True, slots=True)
class _Request(Generic[T, R]):
    number: int
    item: T
    future: asyncio.Future[R]
    due_at: float  # loop time


class _Collector(Generic[T, R]):
    """A processor's work on one loop; every method runs there, so no locks are needed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        process: Callable[[list[T]], Any],
        limits: _Limits,
        context: contextvars.Context,
    ) -> None:
        self.slots = asyncio.Semaphore(limits.max_workers)
        self._loop = loop
        self._process = process
        self._limits = limits
        self._context = context
        self._waiting: deque[_Request[T, R]] = deque()
        self._last_number = 0
        self._due_number = 0  # up to this request, batches are sent off even if not full
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._batches: set[asyncio.Task[Any]] = set()
        self._visits: set[asyncio.Future[None]] = set()

    def add(self, item: T) -> asyncio.Future[R]:
        future: asyncio.Future[R] = self._loop.create_future()
        self._last_number += 1
        due_at = self._loop.time() + self._limits.timeout_s
        self._waiting.append(_Request(self._last_number, item, future, due_at))
        self._send_off()
        return future

    async def flush(self) -> None:
        self._mark_due()
        unsettled = {*self._batches, *(request.future for request in self._waiting)}
        if unsettled:
            await asyncio.wait(unsettled)

    @contextlib.contextmanager
    def visit(self) -> Iterator[None]:
        """The duration of a call that `close` waits for."""
        ended = self._loop.create_future()
        self._visits.add(ended)
        try:
            yield
        finally:
            self._visits.discard(ended)
            ended.set_result(None)

    async def left(self) -> None:
        """Wait for the calls of `visit` to end."""
        if self._visits:
            await asyncio.wait(self._visits)

    def refuse(self) -> None:
        """Fail the requests that have not been sent off."""
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_exception(ClosedError("the batch processor was closed"))
        self._set_timer()

    def _mark_due(self) -> None:
        self._due_number = self._last_number
        self._send_off()

    def _send_off(self) -> None:
        """Start the batches that are full or due, up to the limit."""
        while len(self._batches) < self._limits.max_batches and self._has_batch():
            requests = self._take()
            if requests:
                self._start(requests)
        self._set_timer()

    def _has_batch(self) -> bool:
        return bool(self._waiting) and (
            len(self._waiting) >= self._limits.batch_size
            or self._waiting[0].number <= self._due_number
        )

    def _take(self) -> list[_Request[T, R]]:
        requests: list[_Request[T, R]] = []
        while self._waiting and len(requests) < self._limits.batch_size:
            request = self._waiting.popleft()
            if not request.future.done():  # otherwise it was cancelled
                requests.append(request)
        return requests

    def _start(self, requests: list[_Request[T, R]]) -> None:
        coro = self._process([request.item for request in requests])
        task = self._loop.create_task(coro, context=self._context.copy())
        self._batches.add(task)
        task.add_done_callback(partial(self._settle, requests))

    def _settle(self, requests: list[_Request[T, R]], task: asyncio.Task[Any]) -> None:
        self._batches.discard(task)
        for request, outcome in zip(requests, _outcomes(task, len(requests)), strict=True):
            _resolve(request.future, outcome)
        self._send_off()

    def _set_timer(self) -> None:
        """One timer, for the first request; none when that is due and waits for a free slot."""
        head = self._waiting[0] if self._waiting else None
        due_at = head.due_at if head is not None and head.number > self._due_number else None
        if due_at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due_at
        self._timer = None if due_at is None else self._loop.call_at(due_at, self._mark_due)


def _outcomes(task: asyncio.Task[Any], count: int) -> Sequence[Any]:
    """A result or an exception for each request of a batch."""
    if task.cancelled():
        return [asyncio.CancelledError()] * count
    error = task.exception()
    if error is not None:
        return [error] * count
    results = task.result()
    if not isinstance(results, Sequence) or isinstance(results, str | bytes):
        given = f"a {type(results).__name__}"
    elif len(results) == count:
        return results
    else:
        given = str(len(results))
    message = (
        f"process_func got {count} items and must return a list of as many results, not {given}"
    )
    return [ValueError(message) for _ in range(count)]


def _resolve(future: asyncio.Future[R], outcome: Any) -> None:
    if future.done():  # cancelled in the meantime
        return
    if isinstance(outcome, asyncio.CancelledError):
        future.cancel()
    elif isinstance(outcome, StopIteration):  # a future cannot hold one
        future.set_exception(RuntimeError("process_func answered with a StopIteration"))
    elif isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
