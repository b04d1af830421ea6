"""An iterator read from the other side.

An asynchronous one from a thread or from another loop, a blocking one from a coroutine.

The iterator runs where it is native, a pump fills a mailbox, and the reader drains it. A reader
that leaves ends the pump, and the pump closes the iterator: nothing goes on for nobody.
"""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor, get_global_executor
from xwe.core.concurrency.loop_thread import LoopThread, get_loop_thread
from xwe.core.concurrency.mailbox import Mailbox
from xwe.errors import ClosedError

T = TypeVar("T")

# A reader that leaves waits this long for the iterator's own clean-up, then goes on without.
CLOSE_WITHIN_S = 5.0


class _LoopPump(Generic[T]):
    """Moves an asynchronous iterator's items into a mailbox, on the resident loop."""

    def __init__(self, thread: LoopThread, source: AsyncIterator[T]) -> None:
        self.mailbox: Mailbox[T] = Mailbox()
        self._thread = thread
        self._source = source
        self._task: asyncio.Task[None] | None = None
        self._moving = True
        thread.submit(self._run())

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        error: BaseException | None = None
        try:
            await self._move()
        except BaseException as failure:
            error = failure
            if isinstance(failure, asyncio.CancelledError):
                raise
        finally:
            self._moving = False
            try:
                await _aclose(self._source)
            finally:
                self.mailbox.close(error)

    async def _move(self) -> None:
        mailbox = self.mailbox
        async for item in self._source:
            try:
                has_space = mailbox.put(item)
            except ClosedError:  # the reader left while this item was under way
                return
            if not has_space:
                await mailbox.space()

    async def end(self) -> None:
        """Cancel the iterator and wait for its clean-up; on the resident loop."""
        self.mailbox.close()
        if self._task is not None and not self._task.done():
            if self._moving:
                self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_WITHIN_S)

    def end_blocking(self) -> None:
        """The same from a thread."""
        if self._task is not None and self._task.done():
            self.mailbox.close()
        elif self._thread.is_current():
            # The garbage collector came by on the loop's thread: it must not wait for the loop.
            self._thread.submit(self.end())
        else:
            self._thread.run(self.end())


async def _aclose(source: AsyncIterator[T]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


def iterate_in_sync(source: AsyncIterator[T]) -> Generator[T, None, None]:
    """Read an asynchronous iterator in a thread, in order, a wake-up for all that has gathered.

    Closing the returned generator (or dropping it) closes `source` before it returns. Context
    variables of the first `next()` are seen by the iterator.

    Raises:
        LoopDeadlockError: at the first item, on the event loop's own thread.
    """
    if not AsyncConfig.is_async_enabled():
        yield from _iterate_in_this_thread(source)
        return
    thread = get_loop_thread()
    thread.refuse_own_thread()
    pump = _LoopPump(thread, source)
    try:
        while items := pump.mailbox.drain():
            yield from items
    finally:
        pump.end_blocking()


def _iterate_in_this_thread(source: AsyncIterator[T]) -> Iterator[T]:
    end = object()
    with asyncio.Runner() as runner:
        try:
            while (item := runner.run(_next(source, end))) is not end:
                yield item  # type: ignore[misc] # mypy cannot see that it is not the sentinel
        finally:
            runner.run(_aclose(source))


async def _next(source: AsyncIterator[T], end: object) -> T | object:
    # A sentinel: a StopAsyncIteration may not leave a coroutine.
    return await anext(source, end)


async def iterate_across(source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Read an asynchronous iterator that must run on the resident loop, from any loop."""
    thread = get_loop_thread()
    if thread.is_current():
        try:
            async for item in source:
                yield item
        finally:
            await _aclose(source)
        return
    pump = _LoopPump(thread, source)
    try:
        while items := await pump.mailbox.drain_async():
            for item in items:
                yield item
    finally:
        await asyncio.wrap_future(thread.submit(pump.end()))


async def iterate_offloaded(
    source: Iterator[T], executor: ThreadPoolExecutor | None = None
) -> AsyncGenerator[T, None]:
    """Read a blocking iterator from a coroutine; it runs in a thread of the pool.

    Closing the returned generator releases the reader at once; the thread closes `source` as soon
    as it comes back from the item that it waits for, and keeps its place in the pool until then.

    Raises:
        SaturatedError: at the first item, when the pool is full.
    """
    mailbox: Mailbox[T] = Mailbox()
    pool = executor if executor is not None else get_global_executor()
    if isinstance(pool, BoundedThreadPoolExecutor):
        pool.submit(_fill, mailbox, source)
    else:  # a plain pool drops the context variables
        pool.submit(contextvars.copy_context().run, _fill, mailbox, source)
    try:
        while items := await mailbox.drain_async():
            for item in items:
                yield item
    finally:
        mailbox.close()


def _fill(mailbox: Mailbox[T], source: Iterator[T]) -> None:
    error: BaseException | None = None
    try:
        for item in source:
            if not mailbox.put(item):
                mailbox.space_blocking()
    except ClosedError as closed:
        error = closed  # dropped when it was the reader who closed the box
    except BaseException as failure:  # noqa: BLE001 - whatever it is belongs to the reader
        error = failure
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
        mailbox.close(error)
