"""Run many awaitables, a few at a time."""

import asyncio
import inspect
import operator
from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any, Generic, Literal, TypeVar, cast, overload

T = TypeVar("T")


@overload
async def gather_with_limit(
    coros: Iterable[Awaitable[T]],
    limit: int = 10,
    return_exceptions: Literal[True] = True,  # noqa: FBT002 - asyncio.gather's own switch
) -> list[T | BaseException]: ...


@overload
async def gather_with_limit(
    coros: Iterable[Awaitable[T]], limit: int = 10, *, return_exceptions: Literal[False]
) -> list[T]: ...


@overload
async def gather_with_limit(
    coros: Iterable[Awaitable[T]],
    limit: int = 10,
    return_exceptions: bool = True,  # noqa: FBT001, FBT002 - asyncio.gather's own switch
) -> list[T | BaseException]: ...


async def gather_with_limit(
    coros: Iterable[Awaitable[T]],
    limit: int = 10,
    return_exceptions: bool = True,  # noqa: FBT001, FBT002 - asyncio.gather's own switch
) -> list[T | BaseException] | list[T]:
    """The results of `coros` in order, with at most `limit` of them running at once.

    Each awaitable runs in its own task and its own copy of the context. `coros` may be any
    iterable and is read only as running ones end: a generator of 100,000 coroutines never has
    more than `limit` of them alive.

    By default an awaitable that fails or is cancelled leaves its exception in its place and
    affects no other. With `return_exceptions=False` the first error is raised once the running
    ones have been cancelled and have ended. Cancelling the call does the same. What has not
    started by then never does: remaining coroutines are closed, and so is a generator.

    Raises:
        ValueError: `limit` is below 1.
        Exception: the first error of an awaitable, with `return_exceptions=False`; an error of
            the iterable itself; or a `TypeError` for an item that cannot be awaited.
    """
    if limit < 1:
        raise ValueError(f"limit={limit} lets nothing run: it must be at least 1")
    gathering = _Gathering(coros, limit, keep_errors=return_exceptions)
    return await gathering.run()


class _Gathering(Generic[T]):
    """The state of one call; every method runs on the caller's loop."""

    def __init__(self, coros: Iterable[Awaitable[T]], limit: int, *, keep_errors: bool) -> None:
        self._source = iter(coros)
        self._limit = limit
        self._keep_errors = keep_errors
        self._ended = asyncio.get_running_loop().create_future()
        self._error: BaseException | None = None
        self._open = True  # there may be more to start
        self._results: list[T | BaseException] = []
        self._unsettled = 0
        self._running: set[asyncio.Future[T]] = set()

    async def run(self) -> list[T | BaseException]:
        """Start, refill and wait; nothing is left running, however it ends."""
        self._fill()
        try:
            await self._ended
        finally:
            await self._abandon()  # a no-op when everything has ended
        if self._error is not None:
            raise self._error
        return self._results

    def _fill(self) -> None:
        """Start as many as the limit allows."""
        try:
            while self._open and self._unsettled < self._limit:
                try:
                    awaitable = next(self._source)
                except StopIteration:
                    self._open = False
                else:
                    self._start(awaitable)
        except Exception as error:  # noqa: BLE001 - the caller must get it, not the loop
            self._stop(error)
        if not self._unsettled and not self._ended.done():
            self._ended.set_result(None)

    def _start(self, awaitable: Awaitable[T]) -> None:
        task = asyncio.ensure_future(awaitable)
        place = len(self._results)
        self._results.append(cast("T", None))
        self._unsettled += 1
        self._running.add(task)
        task.add_done_callback(partial(self._settle, place))

    def _settle(self, place: int, task: asyncio.Future[T]) -> None:
        self._unsettled -= 1
        self._running.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._results[place] = task.result()
        else:
            self._results[place] = error
            if not self._keep_errors:
                self._stop(error)
        self._fill()

    def _stop(self, error: BaseException) -> None:
        """The first error ends the call; later ones come from cancelling."""
        self._open = False
        if self._error is None and not self._ended.done():
            self._error = error
            self._ended.set_result(None)

    async def _abandon(self) -> None:
        """Cancel what runs, wait for its end, and close what never started."""
        self._open = False
        for task in self._running:
            task.cancel()
        _close_unstarted(self._source)
        cancelled: asyncio.CancelledError | None = None
        while self._running:
            try:
                await asyncio.wait(self._running)
            except asyncio.CancelledError as again:
                cancelled = again
        if cancelled is not None:
            raise cancelled


def _close_unstarted(source: Any) -> None:
    """Close the coroutines that exist already; a lazy source must not make more."""
    if inspect.isgenerator(source):
        source.close()
        return
    # Only a source that holds its items knows how many are left; reading on in `map` or in an
    # endless iterator would make coroutines just to close them.
    for _ in range(operator.length_hint(source)):
        awaitable = next(source, None)
        if inspect.iscoroutine(awaitable):
            awaitable.close()
