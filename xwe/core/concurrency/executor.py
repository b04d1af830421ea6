"""A thread pool that refuses work instead of growing, and how a coroutine uses it."""

import asyncio
import contextvars
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.errors import ClosedError, LoopDeadlockError, SaturatedError

P = ParamSpec("P")
T = TypeVar("T")

# The weight of a new measurement in the mean time of a task, from which waits are estimated.
MEAN_WEIGHT = 0.2
# A pool whose tasks wait for it is nested; more levels than this are a runaway recursion.
MAX_NESTING = 8


class _Occupancy:
    """A thread of a pool that is busy with a task."""

    __slots__ = ("lasts", "pool")

    def __init__(self, pool: "BoundedThreadPoolExecutor") -> None:
        self.pool = pool
        self.lasts = True


# The tasks inside which the current code runs. It travels with the context, so a coroutine that
# such a task waits for sees it on the loop. So does work that outlives the task, hence `lasts`.
_occupied: contextvars.ContextVar[tuple[_Occupancy, ...]] = contextvars.ContextVar(
    "xwe_occupied_pools", default=()
)


@dataclass(frozen=True, slots=True)
class ExecutorStats:
    """A snapshot of a pool.

    Attributes:
        max_workers: threads at most.
        threads: threads so far.
        running: tasks in a thread.
        waiting: tasks in the queue.
        queue_size: tasks that may wait.
        refused: tasks refused since the start.
        mean_task_s: the running mean of a task's time, in seconds.
    """

    max_workers: int
    threads: int
    running: int
    waiting: int
    queue_size: int
    refused: int
    mean_task_s: float


class BoundedThreadPoolExecutor(ThreadPoolExecutor):
    """At most `max_workers` tasks run and `queue_size` wait; the next is refused at once.

    A task sees the submitter's context variables. A task may submit to its own pool and wait for
    the result without a deadlock, even in a pool of one: such nested tasks run in a second pool of
    the same size, while the threads of this one wait.

    Args:
        max_workers: threads, made as needed.
        queue_size: how many tasks may wait for a thread.
        thread_name_prefix: of the threads.
    """

    def __init__(
        self, max_workers: int, queue_size: int, *, thread_name_prefix: str = "xwe-pool"
    ) -> None:
        if queue_size < 0:
            raise ValueError("queue_size must be at least 0")
        self.max_workers = max_workers
        self.queue_size = queue_size
        self._prefix = thread_name_prefix
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        super().__init__(max_workers=self.max_workers, thread_name_prefix=self._prefix)
        self._guard = threading.Lock()
        self._pending = 0
        self._running = 0
        self._refused = 0
        self._mean_task_s = 0.0
        self._behind: BoundedThreadPoolExecutor | None = None

    def begin_again_after_fork(self) -> None:
        """In a forked child, where none of the threads exist: start over."""
        was_shut_down = self._shutdown
        self._begin()
        self._shutdown = was_shut_down

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` in a thread, with the caller's context variables.

        Raises:
            SaturatedError: all threads are busy and the queue is full.
            ClosedError: after `shutdown()`.
        """
        if occupied := _occupied.get():
            waiting = [occupancy.pool for occupancy in occupied if occupancy.lasts]
            if self in waiting:
                return self._pool_behind(len(waiting)).submit(fn, *args, **kwargs)
        self._take_place()
        context = contextvars.copy_context()
        try:
            future = super().submit(context.run, self._perform, fn, args, kwargs)
        except RuntimeError as error:  # shut down just now, or the interpreter exits
            self._leave_place()
            raise ClosedError(f"The thread pool has been shut down ({error}).") from None
        future.add_done_callback(self._leave_place_unused)
        return future

    def _take_place(self) -> None:
        if self._shutdown:
            raise ClosedError("The thread pool has been shut down.")
        with self._guard:
            # A cancelled task stops counting immediately but stays in the queue until a thread
            # skips it, so the queue is checked too: neither grows without bound.
            if (
                self._pending >= self.max_workers + self.queue_size
                or self._work_queue.qsize() >= self.max_workers + self.queue_size
            ):
                self._refused += 1
                wait_s = self._mean_task_s * (self._pending + 1) / self.max_workers
                raise SaturatedError(
                    f"All {self.max_workers} threads are busy and {self.queue_size} tasks wait "
                    "(LLM_ASYNC_WORKERS, LLM_ASYNC_QUEUE_SIZE).",
                    retry_after_s=max(1.0, wait_s),
                )
            self._pending += 1

    def _leave_place(self) -> None:
        with self._guard:
            self._pending -= 1

    def _leave_place_unused(self, future: Future[Any]) -> None:
        if future.cancelled():  # before it began: a task that ran has done this itself
            self._leave_place()

    def _perform(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        occupancy = _Occupancy(self)
        _occupied.set((*_occupied.get(), occupancy))
        with self._guard:
            self._running += 1
        started = time.monotonic()
        try:
            return fn(*args, **kwargs)
        except StopIteration as stop:
            # A StopIteration that crosses a future would hang its awaiter (see PEP 479).
            raise RuntimeError("The task raised StopIteration.") from stop
        finally:
            occupancy.lasts = False
            taken_s = time.monotonic() - started
            with self._guard:
                self._running -= 1
                # Before the future is done: whoever gets its result must find the slot free.
                self._pending -= 1
                mean = self._mean_task_s
                self._mean_task_s = mean + (taken_s - mean) * MEAN_WEIGHT if mean else taken_s

    def _pool_behind(self, depth: int) -> "BoundedThreadPoolExecutor":
        if depth >= MAX_NESTING:
            raise LoopDeadlockError(
                f"Tasks of this pool wait for the pool itself, {depth} levels deep."
            )
        with self._guard:
            if self._behind is None:
                self._behind = BoundedThreadPoolExecutor(
                    self.max_workers, self.queue_size, thread_name_prefix=f"{self._prefix}-nested"
                )
            return self._behind

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's signature
        """As in the standard library, nested pools included."""
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        with self._guard:
            behind = self._behind
        if behind is not None:
            behind.shutdown(wait=wait, cancel_futures=cancel_futures)

    def stats(self) -> ExecutorStats:
        """A snapshot."""
        with self._guard:
            return ExecutorStats(
                max_workers=self.max_workers,
                threads=len(self._threads),
                running=self._running,
                waiting=max(0, self._pending - self._running),
                queue_size=self.queue_size,
                refused=self._refused,
                mean_task_s=self._mean_task_s,
            )


def new_executor(thread_name_prefix: str) -> BoundedThreadPoolExecutor:
    """A pool sized by LLM_ASYNC_WORKERS and LLM_ASYNC_QUEUE_SIZE."""
    return BoundedThreadPoolExecutor(
        AsyncConfig.get_worker_count(),
        AsyncConfig.get_queue_size(),
        thread_name_prefix=thread_name_prefix,
    )


# Weak references: the threads of a pool that nobody uses end on their own.
_pools: "weakref.WeakSet[BoundedThreadPoolExecutor]" = weakref.WeakSet()


class _Global:
    """The process's shared pool."""

    guard = threading.Lock()
    executor: BoundedThreadPoolExecutor | None = None
    numbers = itertools.count(1)


def get_global_executor() -> BoundedThreadPoolExecutor:
    """The pool shared by everything that was given none.

    Made at the first use, with LLM_ASYNC_WORKERS threads and LLM_ASYNC_QUEUE_SIZE queue slots.
    """
    with _Global.guard:
        if _Global.executor is None:
            _Global.executor = new_executor(f"xwe-global-{next(_Global.numbers)}")
        return _Global.executor


def cleanup_global_executor() -> None:
    """Shut the shared pool down; the next use makes a new one. Idempotent."""
    with _Global.guard:
        executor, _Global.executor = _Global.executor, None
    if executor is not None:
        executor.shutdown(wait=True)


def _begin_again_after_fork() -> None:
    _Global.guard = threading.Lock()  # another thread may have held it during the fork
    for pool in _pools:
        pool.begin_again_after_fork()


os.register_at_fork(after_in_child=_begin_again_after_fork)


async def offload(
    func: Callable[..., T],
    /,
    *args: Any,
    executor: ThreadPoolExecutor | None = None,
    **kwargs: Any,
) -> T:
    """Run a blocking function in a pool and await its result; the loop stays free.

    The function sees the context variables. Cancelling releases the caller immediately; a function
    that is already running goes on and occupies its thread until it ends.

    Args:
        func: the blocking function.
        *args: its arguments.
        executor: the global one by default.
        **kwargs: its keyword arguments.

    Raises:
        SaturatedError: the pool is full.
        ClosedError: the pool has been shut down.
    """
    work = submit_in_context(executor, func, *args, **kwargs)
    try:
        return await asyncio.wrap_future(work)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not work.cancelled() or (task is not None and task.cancelling()):
            raise
        # It was not the caller that was cancelled but the work, still in the pool's queue.
        raise ClosedError("The thread pool was shut down meanwhile.") from None


def submit_in_context(
    executor: ThreadPoolExecutor | None, func: Callable[..., T], /, *args: Any, **kwargs: Any
) -> Future[T]:
    """Submit to a pool (None: the global one), which then sees the context variables."""
    pool = executor if executor is not None else get_global_executor()
    if isinstance(pool, BoundedThreadPoolExecutor):
        return pool.submit(func, *args, **kwargs)
    # A plain pool drops the context variables and lets a StopIteration hang the awaiter.
    context = contextvars.copy_context()
    return pool.submit(context.run, _without_stop_iteration, func, args, kwargs)


def _without_stop_iteration(func: Callable[..., T], args: Any, kwargs: Any) -> T:
    try:
        return func(*args, **kwargs)
    except StopIteration as stop:
        raise RuntimeError("The task raised StopIteration.") from stop
