"""Iterators read across the boundary between threads and loops.

An asynchronous iterator is read from a thread or another loop, a blocking one from a coroutine.

The iterator runs where it belongs, a pump fills a mailbox, and the reader drains it. A reader that
leaves ends the pump, and the pump closes the iterator: nothing keeps running without a reader.
"""

import asyncio
import contextlib
import contextvars
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Generic, TypeVar

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.executor import submit_in_context
from xwe.core.concurrency.handover import LoopCall
from xwe.core.concurrency.loop_thread import LoopThread, get_loop_thread
from xwe.core.concurrency.mailbox import Mailbox
from xwe.core.concurrency.own_loop import OwnLoop
from xwe.errors import ClosedError

log = logging.getLogger("xwe.loop")

T = TypeVar("T")

# How long a reader that leaves waits for the iterator's clean-up. It is also the way out when the
# garbage collector closed the reader in a thread that the loop waits for.
CLOSE_WITHIN_S = 5.0


class _LoopPump(LoopCall[None], Generic[T]):
    """Moves the items of an asynchronous iterator into a mailbox, on a loop thread."""

    def __init__(self, source: AsyncIterator[T], context: contextvars.Context) -> None:
        super().__init__(self._move_all(), context)
        self.mailbox: Mailbox[T] = Mailbox()
        self._source = source
        self._begun = self._moving = self._finished = False

    def begin(self, thread: LoopThread) -> None:
        """Start moving items."""
        self._begun = self._moving = True
        thread.start(self)

    async def _move_all(self) -> None:
        try:
            await self._move()
        finally:
            self._moving = False
            try:
                await _aclose(self._source)
            finally:
                self._finished = True
        # Now, not one turn of the loop later: a reader that is awake need not sleep again.
        self.mailbox.close()

    async def _move(self) -> None:
        mailbox = self.mailbox
        async for item in self._source:
            if not mailbox.put(item):  # raises ClosedError when the reader has left
                await mailbox.space()

    def deliver(self, result: None) -> None:  # noqa: ARG002 - there is none
        """End the mailbox."""
        self.mailbox.close()

    def fail(self, error: BaseException) -> None:
        """End the mailbox with `error`; also when the loop is closed."""
        self.mailbox.close(error)

    def leave(self) -> Coroutine[Any, Any, None] | None:
        """Drop what is left, as the reader; the rest of the clean-up for the loop, if any."""
        self.mailbox.leave()
        if not self._begun:
            self._coro.close()
            # A generator that never started has nothing to close.
            return None if inspect.isasyncgen(self._source) else _aclose(self._source)
        return None if self._finished else self._wind_up()

    async def _wind_up(self) -> None:
        """Cancel the iterator and wait for its clean-up; raise its error."""
        task = self.task
        if task is None or task.done():
            return
        if self._moving:
            task.cancel()
        await asyncio.wait({task}, timeout=CLOSE_WITHIN_S)
        if not task.done():
            log.warning("An iterator was left that did not close within %g s.", CLOSE_WITHIN_S)
        elif not task.cancelled():
            task.result()


async def _aclose(source: AsyncIterator[T]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


def iterate_in_sync(source: AsyncIterator[T]) -> Generator[T, None, None]:
    """Read an asynchronous iterator in a thread; one wake-up takes all that has come.

    Nothing runs before the first `next()`. Closing or dropping the returned generator closes
    `source` first. The iterator sees a copy of the caller's context variables.

    Raises:
        LoopDeadlockError: at the first item, on the event loop's own thread.
    """
    read = _read if AsyncConfig.is_async_enabled() else _read_in_this_thread
    reader = read(source, contextvars.copy_context())
    next(reader)  # to the bare yield: only a generator that has started cleans up when it is closed
    return reader


def _read(source: AsyncIterator[T], context: contextvars.Context) -> Generator[Any, None, None]:
    pump = _LoopPump(source, context)
    thread: LoopThread | None = None
    try:
        yield
        thread = get_loop_thread()
        thread.refuse_own_thread()
        pump.begin(thread)
        while items := pump.mailbox.drain():
            yield from items
    finally:
        if (rest := pump.leave()) is not None:
            _finish(get_loop_thread() if thread is None else thread, rest)


def _finish(thread: LoopThread, rest: Coroutine[Any, Any, None]) -> None:
    try:
        ending = thread.submit(rest)
    except ClosedError:
        return  # all its tasks have been cancelled
    if thread.is_current():
        return  # called by the garbage collector there: it must not wait for the loop
    try:
        if wait([ending], CLOSE_WITHIN_S * 2).done:
            ending.result()
        else:  # not cancelled: once the loop is free, it still has to end the iterator
            log.warning("An iterator was left while the event loop is blocked.")
    except ClosedError:
        return
    finally:
        del ending  # its error leads to this frame: break the cycle


def _read_in_this_thread(
    source: AsyncIterator[T], context: contextvars.Context
) -> Generator[Any, None, None]:
    """For the kill switch: a loop for this iterator only."""
    end = object()
    with OwnLoop() as loop:
        try:
            yield
            while (item := loop.run(_next(source, end), context=context)) is not end:
                yield item
        finally:
            loop.run(_aclose(source), context=context)


async def _next(source: AsyncIterator[T], end: object) -> T | object:
    # A sentinel: a coroutine cannot raise StopAsyncIteration.
    return await anext(source, end)


async def iterate_across(source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Read, from any loop, an asynchronous iterator that must run on the resident loop."""
    thread = get_loop_thread()
    if thread.is_current():
        try:
            async for item in source:
                yield item
        finally:
            await _aclose(source)
        return
    pump = _LoopPump(source, contextvars.copy_context())
    try:
        pump.begin(thread)
        while items := await pump.mailbox.drain_async():
            for item in items:
                yield item
    finally:
        if (rest := pump.leave()) is not None:
            with contextlib.suppress(ClosedError):
                await asyncio.wrap_future(thread.submit(rest))


async def iterate_offloaded(
    source: Iterator[T], executor: ThreadPoolExecutor | None = None
) -> AsyncGenerator[T, None]:
    """Read a blocking iterator from a coroutine; it runs in a thread of the pool.

    Closing the returned generator releases the reader immediately. The thread closes `source` when
    it returns from the item it is waiting for, and occupies the pool until then.

    Raises:
        SaturatedError: at the first item, when the pool is full.
        ClosedError: the pool has been shut down.
    """
    mailbox: Mailbox[T] = Mailbox()
    try:
        work = submit_in_context(executor, _fill, mailbox, source)
    except BaseException:
        _close(source)
        raise
    work.add_done_callback(partial(_close_never_begun, mailbox, source))
    try:
        while items := await mailbox.drain_async():
            for item in items:
                yield item
    finally:
        mailbox.leave()


def _fill(mailbox: Mailbox[T], source: Iterator[T]) -> None:
    try:
        try:
            for item in source:
                if not mailbox.put(item):
                    mailbox.space_blocking()
        finally:
            _close(source)
    except BaseException as error:  # noqa: BLE001 - the reader gets it, whatever it is
        if not mailbox.close(error) and not isinstance(error, ClosedError):
            log.warning("An iterator failed after its reader left: %s", type(error).__name__)
    else:
        mailbox.close()


def _close(source: Iterator[T]) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()


def _close_never_begun(mailbox: Mailbox[T], source: Iterator[T], work: Future[None]) -> None:
    if work.cancelled():  # the pool was shut down while this was in its queue
        _close(source)
        mailbox.close(ClosedError("The thread pool was shut down meanwhile."))
