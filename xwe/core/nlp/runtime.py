"""The two runtimes of a model call: the resident loop, or the calling thread.

The call path is written once, as coroutines. On the loop they wait by suspending. In a thread each
wait blocks, so they never suspend and need no loop: `run_without_loop` drives them. The kill
switch LLM_ASYNC_ENABLED=false uses that too.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent import futures
from typing import Any, Protocol, TypeVar

from xwe.core.concurrency.admission import Admission
from xwe.core.concurrency.rate_limit import RateLimiter
from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits
from xwe.core.nlp.transports import AsyncTransport, BlockingTransport
from xwe.errors import DeadlineExceededError

T = TypeVar("T")


class Runtime(Protocol):
    """How the call path waits and reaches the provider."""

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """One attempt at a whole reply."""

    def stream(self, request: CompletionRequest, limits: TimeLimits) -> AsyncGenerator[Delta, None]:
        """One attempt at a streamed reply."""

    async def sleep(self, seconds: float) -> None:
        """Wait before the next attempt."""

    async def enter(self, admission: Admission, timeout_s: float) -> None:
        """Wait for admission."""

    async def acquire(self, limiter: RateLimiter, timeout_s: float, weight: int) -> bool:
        """Wait for the rate limit; False when it would take longer than `timeout_s`."""

    async def outcome(self, future: futures.Future[T], timeout_s: float) -> T:
        """Wait for another caller's result."""


class AsyncRuntime:
    """On the resident loop, with an asynchronous transport."""

    def __init__(self, transport: AsyncTransport) -> None:
        # The transport's own methods: a layer between would cost every call and every piece.
        self.complete = transport.complete
        self.stream = transport.stream

    async def sleep(self, seconds: float) -> None:
        """Suspend."""
        await asyncio.sleep(seconds)

    async def enter(self, admission: Admission, timeout_s: float) -> None:
        """Suspend until admitted."""
        try:
            async with asyncio.timeout(timeout_s):
                await admission.enter()
        except TimeoutError as error:
            raise DeadlineExceededError("The deadline passed while the call waited.") from error

    async def acquire(self, limiter: RateLimiter, timeout_s: float, weight: int) -> bool:
        """Suspend until the limit allows it."""
        return await limiter.acquire(timeout_s, weight)

    async def outcome(self, future: futures.Future[T], timeout_s: float) -> T:
        """Suspend; cancelling the waiter does not cancel the other caller's work."""
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError as error:
            raise DeadlineExceededError("The deadline passed while the call waited.") from error


class BlockingRuntime:
    """In the calling thread, with a blocking transport: nothing ever suspends."""

    def __init__(self, transport: BlockingTransport) -> None:
        self._transport = transport

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """Block for the reply."""
        return self._transport.complete(request, limits)

    async def stream(
        self, request: CompletionRequest, limits: TimeLimits
    ) -> AsyncGenerator[Delta, None]:
        """Block for each piece."""
        source = self._transport.stream(request, limits)
        try:
            for delta in source:
                yield delta
        finally:
            source.close()

    async def sleep(self, seconds: float) -> None:
        """Block."""
        time.sleep(seconds)  # noqa: ASYNC251 - this runtime blocks

    async def enter(self, admission: Admission, timeout_s: float) -> None:
        """Block until admitted."""
        admission.enter_blocking(timeout_s)

    async def acquire(self, limiter: RateLimiter, timeout_s: float, weight: int) -> bool:
        """Block until the limit allows it."""
        return limiter.acquire_sync(timeout_s, weight)

    async def outcome(self, future: futures.Future[T], timeout_s: float) -> T:
        """Block."""
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            if future.done():
                raise
            raise DeadlineExceededError("The deadline passed while the call waited.") from error


def run_without_loop(coro: Coroutine[Any, Any, T] | Generator[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends.

    Raises:
        RuntimeError: it suspended, so something in it needs a loop.
    """
    try:
        coro.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coro.close()
    raise RuntimeError("A coroutine of the blocking runtime tried to suspend.")


def iterate_without_loop(source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """The items of an async generator that never suspends; closing it closes `source`."""
    try:
        while True:
            try:
                step = source.__anext__()
                item = run_without_loop(step)
            except StopAsyncIteration:
                return
            yield item
    finally:
        run_without_loop(source.aclose())
