"""Coroutines, tasks and futures of the resident loop, handled from threads."""

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent import futures
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any, Literal, TypeVar, overload

from xwe.core.concurrency.blocking.deadlines import Limit, limit_of
from xwe.core.concurrency.executor import offload
from xwe.core.concurrency.loop_thread import get_loop_thread

T = TypeVar("T")

# Work that is out of time is cancelled, and its waiter sees it end, so that nothing of it is left
# when the error is raised. A blocked loop, or a coroutine that will not end, gets no longer.
SETTLE_WITHIN_S = 1.0


class Future(futures.Future[T]):
    """A result to come: set by any thread, waited for by threads and by coroutines.

    It is a `concurrent.futures.Future` that can also be awaited, on any loop. Callbacks run in
    the thread that completes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cancelling = threading.Lock()

    def result(self, timeout: float | None = None) -> T:
        """Block until there is a result, for `timeout` seconds at most, and return it.

        Raises:
            DeadlineExceededError: it took too long. The work goes on after `timeout`; at the
                deadline of a surrounding `timeout()` block it is cancelled.
            concurrent.futures.CancelledError: it was cancelled.
            LoopDeadlockError: it is not done, and this is the resident loop's own thread.
        """
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The same for the exception; None when there is a result."""
        self._wait(timeout)
        return super().exception(0)

    def cancel(self) -> bool:
        """Cancel it; False when it was done already."""
        # The base class tells `wait` and `as_completed` only when asked to, and only once.
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
    thread. An error that nobody asks for stays in the task, as it does in any
    `concurrent.futures.Future`.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> None:
        super().__init__()
        self._coro = coro
        self._name = name
        self._native: asyncio.Task[T] | None = None
        self._is_cancel_requested = False
        self._answering = threading.Lock()  # taken once, by whoever answers first
        try:
            thread = get_loop_thread()
            self._loop = thread.loop
            handed_over = thread.submit(self._drive())
        except BaseException:
            coro.close()
            raise
        handed_over.add_done_callback(self._end)

    def cancel(self) -> bool:
        """Ask the coroutine to end, by a CancelledError inside it; False when it has ended.

        It is cancelled once it has ended that way, and then `result` raises
        `concurrent.futures.CancelledError`; until then it may still answer.
        """
        if self.done():
            return False
        with contextlib.suppress(RuntimeError):  # the loop was closed, and ended its tasks
            self._loop.call_soon_threadsafe(self._cancel_native)
        return True

    def native(self) -> asyncio.Future[T]:
        """What a coroutine on the resident loop awaits; cancelling that cancels the task."""
        return self._native if self._native is not None else asyncio.wrap_future(self)

    async def _drive(self) -> None:
        """Run the coroutine; the loop thread keeps hold of this, and so of all of it."""
        self._native = self._loop.create_task(self._coro, name=self._name)
        self._native.add_done_callback(self._deliver)
        if self._is_cancel_requested:
            self._native.cancel()
        await asyncio.wait({self._native})

    def _cancel_native(self) -> None:
        self._is_cancel_requested = True
        if self._native is not None:
            self._native.cancel()

    def _deliver(self, native: asyncio.Task[T]) -> None:
        error = None if native.cancelled() else native.exception()
        if not self._answering.acquire(blocking=False):
            return
        if native.cancelled():
            super().cancel()
        elif error is not None:
            self.set_exception(error)
        else:
            self.set_result(native.result())

    def _end(self, handed_over: futures.Future[None]) -> None:
        """Answer for a loop that was closed before it could."""
        if not self._answering.acquire(blocking=False):
            return
        if self._native is None:
            self._coro.close()
        error = None if handed_over.cancelled() else handed_over.exception()
        if error is None:
            super().cancel()
        else:
            self.set_exception(error)


def run(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the resident loop and return its result, as `asyncio.run`.

    Raises: as `wait_for`.
    """
    return wait_for(coro, None)


def get_running_loop() -> asyncio.AbstractEventLoop:
    """The resident loop, which is always running; its `call_soon_threadsafe` is for any thread."""
    return get_loop_thread().loop


def sleep(seconds: float) -> None:
    """Block this thread; `sleep(0)` lets everything that is ready on the loop have its turn."""
    run(asyncio.sleep(seconds))


def create_task(coro: Coroutine[Any, Any, T], *, name: str | None = None) -> Task[T]:
    """Start a coroutine on the resident loop and return at once; also from the loop's thread."""
    return Task(coro, name=name)


def run_in_executor(
    executor: futures.ThreadPoolExecutor | None, func: Callable[..., T], *args: Any
) -> Future[T]:
    """Run a blocking function in a pool (None: the global one), context variables included.

    The future raises SaturatedError when the pool is full.
    """
    return Task(offload(func, *args, executor=executor))


def wait_for(aw: Awaitable[T] | futures.Future[T], timeout: float | None) -> T:
    """The result of a coroutine, task or future; cancelled if it takes more than `timeout` s.

    As `asyncio.wait_for`, it raises after the cancelled work has ended (or SETTLE_WITHIN_S later,
    when it does not); a result that came in the meantime is returned. Interrupting the waiting
    thread cancels the work too.

    Raises:
        DeadlineExceededError: (a TimeoutError) it took too long.
        concurrent.futures.CancelledError: it was cancelled by somebody else.
        LoopDeadlockError: this is the resident loop's own thread.
    """
    (future,), limit = _adopt([aw], timeout)
    return _finish(future, limit)


def shield(aw: Awaitable[T] | futures.Future[T]) -> Task[T]:
    """A task that may be cancelled, or time out, while what it waits for goes on."""
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
    """Run them all at once on the resident loop and return their results in order.

    As `asyncio.gather`: the first error is raised and the others go on, unless
    `return_exceptions` puts each error in its place. At a deadline all are cancelled.

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
        if not has_begun:  # cancelled before its first turn, so it has not cancelled its parts
            futures.wait([part for part in parts if part.cancel()], SETTLE_WITHIN_S)


def wait(
    fs: Iterable[futures.Future[T]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> tuple[set[futures.Future[T]], set[futures.Future[T]]]:
    """Block until all, the first, or the first failed one is done; `(done, pending)`.

    As `asyncio.wait`, it cancels nothing, and `timeout` (seconds) raises nothing.

    Raises:
        TypeError: something is not a task or future; `create_task` makes one of a coroutine.
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
    """Start them all and yield each task or future when it is done, the fastest first.

    Leaving the loop early leaves the others running.

    Raises:
        DeadlineExceededError: (from the iterator) they took more than `timeout` seconds in all.
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
    """Start the coroutines, and how long to wait; none when waiting is out of the question."""
    given: list[Any] = list(aws)
    try:
        get_loop_thread().refuse_own_thread()
        # Once, and before: a deadline that passed in between would leave them running for nobody.
        limit = limit_of(timeout)
        _check_awaitable(given)
    except BaseException:
        _close(given)
        raise
    parts = [aw if isinstance(aw, futures.Future) else Task(_as_coroutine(aw)) for aw in given]
    return parts, limit


def _check_awaitable(given: Iterable[Any]) -> None:
    for aw in given:
        if not isinstance(aw, futures.Future) and not inspect.isawaitable(aw):
            raise TypeError(f"a coroutine, a task or a future is needed, not {aw!r}")


def _close(given: Iterable[Any]) -> None:
    for aw in given:
        if inspect.iscoroutine(aw):
            aw.close()


def _as_coroutine(aw: Awaitable[T]) -> Coroutine[Any, Any, T]:
    if inspect.iscoroutine(aw):
        return aw

    async def awaited() -> T:
        return await aw

    return awaited()


def _native(future: futures.Future[T]) -> asyncio.Future[T]:
    return future.native() if isinstance(future, Task) else asyncio.wrap_future(future)


def _finish(future: futures.Future[T], limit: Limit) -> T:
    """The result; at the limit, or when the waiting is interrupted, the work is cancelled."""
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
