"""The resident loop's coroutines, tasks and futures, for use from threads."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent import futures
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any, Literal, TypeVar, overload

from xwe.core.concurrency.blocking.deadlines import Limit, limit_of
from xwe.core.concurrency.executor import offload
from xwe.core.concurrency.handover import LoopCall, SubmittedCall, as_coroutine
from xwe.core.concurrency.loop_thread import get_loop_thread

T = TypeVar("T")

# Work that timed out is cancelled, and its waiter waits this long for it to end before it raises.
# A blocked loop, or a coroutine that refuses to end, gets no more.
SETTLE_WITHIN_S = 1.0


class Future(futures.Future[T]):
    """A `concurrent.futures.Future` that coroutines can await too, on any loop.

    Any thread sets it. Callbacks run in the thread that does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cancelling = threading.Lock()

    def result(self, timeout: float | None = None) -> T:
        """Block for the result, for at most `timeout` seconds.

        Raises:
            DeadlineExceededError: there was none in time. After `timeout` the work goes on; at
                the deadline of a surrounding `timeout()` block it is cancelled.
            concurrent.futures.CancelledError: it was cancelled.
            LoopDeadlockError: it is not done, and this is the resident loop's own thread.
        """
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Block for the exception; None when there is a result instead. Raises as `result` does."""
        self._wait(timeout)
        return super().exception(0)

    def cancel(self) -> bool:
        """Cancel it; False when it was done already."""
        # The base class notifies `wait` and `as_completed` on request only, and only once.
        if self._cancelling.acquire(blocking=False):
            if super().cancel():
                self.set_running_or_notify_cancel()
                return True
            self._cancelling.release()
        return False

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def _wait(self, timeout: float | None) -> None:
        if self.done():
            return
        get_loop_thread().refuse_own_thread()
        limit = limit_of(timeout)
        futures.wait([self], limit.seconds)
        if self.done():
            return
        if limit.is_surrounding:
            _cancel_and_settle(self)
        raise limit.error()


class Task(Future[T]):
    """A coroutine that runs on the resident loop, seen from threads.

    It starts at once, with a copy of the caller's context variables. Callbacks run on the loop's
    thread. An error that nobody asks for is not logged.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> None:
        super().__init__()
        self._thread = get_loop_thread()
        self._call: _TaskCall[T] = _TaskCall(coro, self, name)
        self._thread.start(self._call)

    def cancel(self) -> bool:
        """Ask the coroutine to end, by a CancelledError inside it; False when it has ended.

        The task is cancelled once the coroutine has ended that way, and then `result` raises
        `concurrent.futures.CancelledError`; until then the coroutine may still answer.
        """
        if self.done():
            return False
        self._thread.cancel(self._call)
        return True

    def native(self) -> asyncio.Future[T]:
        """What a coroutine on the resident loop awaits; cancelling that cancels the task."""
        return self._call.task or asyncio.wrap_future(self)


class _TaskCall(SubmittedCall[T]):
    __slots__ = ("_name",)

    def __init__(self, coro: Coroutine[Any, Any, T], task: Task[T], name: str | None) -> None:
        super().__init__(coro, contextvars.copy_context(), task)
        self._name = name

    def start(self, loop: asyncio.AbstractEventLoop, waited_for: set[LoopCall[Any]]) -> None:
        super().start(loop, waited_for)
        if self._name is not None and self.task is not None:
            self.task.set_name(self._name)


def run(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the resident loop and return its result, as `asyncio.run`.

    Raises: as `wait_for`.
    """
    return wait_for(coro, None)


def get_running_loop() -> asyncio.AbstractEventLoop:
    """The resident loop, which is always running; its `call_soon_threadsafe` is for any thread."""
    return get_loop_thread().loop


def sleep(seconds: float) -> None:
    """Block this thread; with 0, only until everything that is ready on the loop has run."""
    run(asyncio.sleep(seconds))


def create_task(coro: Coroutine[Any, Any, T], *, name: str | None = None) -> Task[T]:
    """Start a coroutine on the resident loop and return immediately; from any thread."""
    return Task(coro, name=name)


def run_in_executor(
    executor: futures.ThreadPoolExecutor | None, func: Callable[..., T], *args: Any
) -> Future[T]:
    """Run a blocking function in a pool (None: the global one), context variables included.

    The future raises SaturatedError when the pool is full.
    """
    return Task(offload(func, *args, executor=executor))


def wait_for(aw: Awaitable[T] | futures.Future[T], timeout: float | None) -> T:
    """The result of a coroutine, task or future; cancelled after `timeout` seconds.

    As `asyncio.wait_for`, it raises once the cancelled work has ended (or after SETTLE_WITHIN_S);
    a result that arrives meanwhile is returned. Interrupting the waiting thread cancels the work.

    Raises:
        DeadlineExceededError: (a TimeoutError) it took too long.
        concurrent.futures.CancelledError: it was cancelled by somebody else.
        LoopDeadlockError: this is the resident loop's own thread.
    """
    (future,), limit = _adopt([aw], timeout)
    return _finish(future, limit)


def shield(aw: Awaitable[T] | futures.Future[T]) -> Task[T]:
    """A task that can be cancelled or time out while the work behind it goes on."""
    (future,), _ = _adopt([aw])

    async def shielded() -> T:
        return await asyncio.shield(_native(future))

    return Task(shielded())


@overload
def gather(
    *aws: Awaitable[T] | futures.Future[T], return_exceptions: Literal[False] = False
) -> list[T]: ...


@overload
def gather(
    *aws: Awaitable[T] | futures.Future[T], return_exceptions: bool
) -> list[T | BaseException]: ...


def gather(
    *aws: Awaitable[T] | futures.Future[T], return_exceptions: bool = False
) -> list[T] | list[T | BaseException]:
    """Run everything at once on the resident loop; the results in order.

    As `asyncio.gather`: the first error is raised while the others go on, unless
    `return_exceptions` puts each error in its place. At a deadline everything is cancelled.

    Raises: the first error, and as `wait_for`.
    """
    parts, limit = _adopt(aws)
    has_begun = False

    async def gathered() -> list[Any]:
        nonlocal has_begun
        has_begun = True
        return await asyncio.gather(
            *(_native(part) for part in parts), return_exceptions=return_exceptions
        )

    try:
        return _finish(Task(gathered()), limit)
    finally:
        if not has_begun:  # it was cancelled before its first step, so its parts were not
            futures.wait([part for part in parts if part.cancel()], SETTLE_WITHIN_S)


def wait(
    fs: Iterable[futures.Future[T]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> tuple[set[futures.Future[T]], set[futures.Future[T]]]:
    """Block until all are done, or the first, or the first failure; `(done, pending)`.

    As `asyncio.wait`: nothing is cancelled, and after `timeout` seconds nothing is raised.

    Raises:
        TypeError: one is not a task or future; `create_task` makes a coroutine one.
        ValueError: there is nothing to wait for.
        DeadlineExceededError: the deadline of a surrounding `timeout()` block passed.
        LoopDeadlockError: this is the resident loop's own thread.
    """
    waited_for: list[Any] = list(fs)
    for future in waited_for:
        if not isinstance(future, futures.Future):
            _close(waited_for)
            raise TypeError(f"{future!r} is not a task or a future: use create_task")
    if not waited_for:
        raise ValueError("there is nothing to wait for")
    get_loop_thread().refuse_own_thread()
    limit = limit_of(timeout)
    done, pending = futures.wait(waited_for, limit.seconds, return_when)
    if limit.is_surrounding and not _is_met(done, pending, return_when):
        raise limit.error()
    return done, pending


def as_completed(
    aws: Iterable[Awaitable[T] | futures.Future[T]], timeout: float | None = None
) -> Iterator[futures.Future[T]]:
    """Start everything and yield each task or future as it completes.

    Leaving the iteration early leaves the others running.

    Raises:
        DeadlineExceededError: (from the iterator) `timeout` seconds have passed.
        LoopDeadlockError: this is the resident loop's own thread.
    """
    return _in_order_of_completion(*_adopt(aws, timeout))


def _in_order_of_completion(
    parts: list[futures.Future[T]], limit: Limit
) -> Iterator[futures.Future[T]]:
    try:
        yield from futures.as_completed(parts, limit.seconds)
    except TimeoutError:
        raise limit.error() from None


def _adopt(
    aws: Iterable[Awaitable[T] | futures.Future[T]], timeout: float | None = None
) -> tuple[list[futures.Future[T]], Limit]:
    """Start the coroutines and work out how long to wait; start none if waiting is impossible."""
    given: list[Any] = list(aws)
    try:
        get_loop_thread().refuse_own_thread()
        # Before they start: a deadline that passed in between would leave them running for nobody.
        limit = limit_of(timeout)
        ready = [aw if isinstance(aw, futures.Future) else as_coroutine(aw) for aw in given]
    except BaseException:
        _close(given)
        raise
    return [aw if isinstance(aw, futures.Future) else Task(aw) for aw in ready], limit


def _close(given: Iterable[Any]) -> None:
    for aw in given:
        if inspect.iscoroutine(aw):
            aw.close()


def _native(future: futures.Future[T]) -> asyncio.Future[T]:
    return future.native() if isinstance(future, Task) else asyncio.wrap_future(future)


def _finish(future: futures.Future[T], limit: Limit) -> T:
    """The result; the work is cancelled at the limit, or when the waiting is interrupted."""
    try:
        futures.wait([future], limit.seconds)
    except BaseException:  # Ctrl-C in the waiting thread: the work must not go on unseen
        future.cancel()
        raise
    if not future.done():
        _cancel_and_settle(future)
        if not future.done() or future.cancelled():
            raise limit.error()
    return future.result()


def _cancel_and_settle(future: futures.Future[Any]) -> None:
    if future.cancel() and not future.done():
        futures.wait([future], SETTLE_WITHIN_S)


def _is_met(
    done: set[futures.Future[T]], pending: set[futures.Future[T]], return_when: str
) -> bool:
    if return_when == FIRST_COMPLETED:
        return bool(done)
    if return_when == FIRST_EXCEPTION:
        has_failed = any(not future.cancelled() and future.exception() for future in done)
        return has_failed or not pending
    return not pending
