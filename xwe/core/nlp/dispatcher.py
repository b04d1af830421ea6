"""Dispatches a request to the runtime of its transport, from a thread or from any loop.

An asynchronous transport runs on the resident loop, a blocking one in a thread: the caller's own
for a synchronous call, one of the pool's for an asynchronous one.
"""

import asyncio
import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.bridge import await_on_resident
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor, new_executor, offload
from xwe.core.concurrency.iteration import iterate_across, iterate_in_sync, iterate_offloaded
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.assembly import ReplyAssembly
from xwe.core.nlp.call_path import CallGuards, CallPath
from xwe.core.nlp.client_policy import ClientPolicy
from xwe.core.nlp.completion import Completion, CompletionRequest
from xwe.core.nlp.completion_stream import AsyncCompletionStream, CompletionStream
from xwe.core.nlp.runtime import (
    AsyncRuntime,
    BlockingRuntime,
    Runtime,
    iterate_without_loop,
    run_without_loop,
)
from xwe.core.nlp.transports import AsyncTransport, BlockingTransport, open_transport
from xwe.errors import ClosedError, DeadlineExceededError

T = TypeVar("T")

BLOCKING_TRANSPORT = "requests"
# The pool has few threads, but any number of a caller's own may call at once.
KEPT_CONNECTIONS = 100
# Closing a transport's connections in order may take this long, no longer.
CLOSE_WITHIN_S = 5.0


class CallDispatcher:
    """One provider's transports, pool and shared limits.

    Args:
        transport: "requests", "aiohttp", "openai", or an object with a transport's methods.
        endpoint: the full address of the chat completions.
        api_key: sent as the bearer token.
        policy: limits and retries.
    """

    def __init__(
        self,
        transport: str | AsyncTransport | BlockingTransport,
        endpoint: str,
        api_key: str,
        policy: ClientPolicy,
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._api_key = api_key
        self._policy = policy
        self._guard = threading.Lock()
        self._closed = False
        _dispatchers.add(self)
        self._is_blocking = (
            transport == BLOCKING_TRANSPORT
            if isinstance(transport, str)
            else not hasattr(transport, "aclose")
        )
        self._renew()
        if self._works_on_loop():
            # Now, not at the first call, which may be on a loop: importing a library and reading
            # the trusted certificates would block everybody there.
            self._open_loop_path()

    def _renew(self) -> None:
        """Start over with nothing opened; also in a forked child, which inherits no thread."""
        self._pid = os.getpid()
        self._executor: BoundedThreadPoolExecutor | None = None
        self._guards = self._policy.guards()
        self._loop_path: CallPath | None = None
        self._thread_path: CallPath | None = None
        self._opened: list[AsyncTransport | BlockingTransport] = []

    def _check(self) -> None:
        if self._closed:
            raise ClosedError("The client has been closed by cleanup(); make a new one.")
        if self._pid != os.getpid():
            self._guard = threading.Lock()
            self._renew()

    @property
    def executor(self) -> BoundedThreadPoolExecutor:
        """The pool of LLM_ASYNC_WORKERS threads, made when first needed."""
        executor = self._executor
        if executor is None or self._pid != os.getpid():
            self._check()
            with self._guard:
                executor = self._executor = self._executor or new_executor("xwe-llm")
        return executor

    # --- the four kinds of call ---

    # A path is opened before the deadline is set: that may import the transport's library.

    def complete(self, request: CompletionRequest, timeout_s: float) -> Completion:
        """The whole reply; blocks the calling thread."""
        self._check()
        if self._works_on_loop():
            path = self._on_loop()
            return get_loop_thread().run(path.complete(request, time.monotonic() + timeout_s))
        path = self._in_thread()
        return run_without_loop(path.complete(request, time.monotonic() + timeout_s))

    async def complete_async(self, request: CompletionRequest, timeout_s: float) -> Completion:
        """The whole reply; from any loop."""
        self._check()
        if self._works_on_loop():
            path = self._on_loop()
            return await await_on_resident(path.complete(request, time.monotonic() + timeout_s))
        self._in_thread()
        return await self.run_blocking(self._complete_by, time.monotonic() + timeout_s, request)

    def stream(self, request: CompletionRequest, timeout_s: float) -> CompletionStream:
        """The reply in pieces; the call begins when the first is asked for."""
        self._check()
        assembly = ReplyAssembly(request.model)
        if self._works_on_loop():
            deltas = iterate_in_sync(self._on_loop().stream(request, timeout_s, assembly))
        else:
            deltas = iterate_without_loop(self._in_thread().stream(request, timeout_s, assembly))
        return CompletionStream(deltas, assembly)

    def stream_async(self, request: CompletionRequest, timeout_s: float) -> AsyncCompletionStream:
        """The reply in pieces; from any loop."""
        self._check()
        assembly = ReplyAssembly(request.model)
        if self._works_on_loop():
            deltas = iterate_across(self._on_loop().stream(request, timeout_s, assembly))
        else:
            deltas = self._in_thread().stream(request, timeout_s, assembly)
            if AsyncConfig.is_async_enabled():
                deltas = iterate_offloaded(iterate_without_loop(deltas), self.executor)
        return AsyncCompletionStream(deltas, assembly)

    async def run_blocking(
        self, func: Callable[..., T], deadline: float | None, *args: Any, **kwargs: Any
    ) -> T:
        """Run a blocking function of this client in its pool, or here if the pool is off.

        Raises:
            DeadlineExceededError: at `deadline`; the function's thread ends when it can.
        """
        self._check()
        if not AsyncConfig.is_async_enabled():
            return func(*args, **kwargs) if deadline is None else func(deadline, *args, **kwargs)
        if deadline is None:
            return await offload(func, *args, executor=self.executor, **kwargs)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await offload(func, deadline, *args, executor=self.executor, **kwargs)
        except TimeoutError as error:
            if type(error) is not TimeoutError:  # one of our own, which says more
                raise
            raise DeadlineExceededError("The model did not answer before the deadline.") from error

    def _complete_by(self, deadline: float, request: CompletionRequest) -> Completion:
        return run_without_loop(self._in_thread().complete(request, deadline))

    # --- the two paths ---

    def _works_on_loop(self) -> bool:
        return not self._is_blocking and AsyncConfig.is_async_enabled()

    def _on_loop(self) -> CallPath:
        return self._loop_path or self._open_loop_path()

    def _in_thread(self) -> CallPath:
        return self._thread_path or self._open_thread_path()

    def _open_loop_path(self) -> CallPath:
        with self._guard:
            if self._loop_path is None:
                transport = self._transport
                if isinstance(transport, str):
                    transport = self._open(transport, self._policy.max_inflight)
                native = cast("AsyncTransport", transport)
                self._opened.append(native)
                self._loop_path = self._path(AsyncRuntime(native), self._guards)
            return self._loop_path

    def _open_thread_path(self) -> CallPath:
        with self._guard:
            if self._thread_path is None:
                transport = self._transport
                if isinstance(transport, str) or not self._is_blocking:
                    transport = self._open(BLOCKING_TRANSPORT, KEPT_CONNECTIONS)
                native = cast("BlockingTransport", transport)
                self._opened.append(native)
                # The pool limits what runs in it; a caller's own thread needs no admission.
                guards = self._guards.without_admission()
                self._thread_path = self._path(BlockingRuntime(native), guards)
            return self._thread_path

    def _open(self, transport: str, pool_size: int) -> Any:
        return open_transport(
            transport,
            self._endpoint,
            self._api_key,
            connect_s=self._policy.phases.connect_s,
            pool_size=pool_size,
        )

    def _path(self, runtime: Runtime, guards: CallGuards) -> CallPath:
        return CallPath(
            runtime,
            provider=urlsplit(self._endpoint).netloc.rpartition("@")[2],
            retry=self._policy.retry,
            phases=self._policy.phases,
            guards=guards,
            observer=self._policy.observer,
        )

    # --- state and end ---

    def close(self) -> None:
        """Release threads and connections; running and later calls raise ClosedError. Idempotent.

        A thread that waits for a silent model returns immediately.
        """
        with self._guard:
            if self._closed:
                return
            self._closed = True
            opened, executor = self._opened, self._executor
        if self._pid != os.getpid():
            return  # everything opened belongs to the parent process
        thread = get_loop_thread()
        for transport in opened:
            if not hasattr(transport, "aclose"):
                transport.close()
            elif thread.is_current():
                thread.submit(transport.aclose())
            else:
                thread.run(transport.aclose(), CLOSE_WITHIN_S)
        if executor is not None:
            # A thread must not wait for itself, and the loop must not block at all.
            inside = threading.current_thread() in executor._threads or thread.is_current()  # noqa: SLF001 - there is no public way to ask
            executor.shutdown(wait=not inside, cancel_futures=True)

    def stats(self) -> dict[str, Any]:
        """A snapshot of the pool, admission, breaker and retry quota."""
        guards = self._guards
        return {
            "transport": self._transport
            if isinstance(self._transport, str)
            else type(self._transport).__name__,
            "executor": self._executor.stats() if self._executor is not None else None,
            "admission": guards.admission.stats() if guards.admission is not None else None,
            "breaker": guards.breaker.state,
            "retries_left": guards.quota.left,
        }


# A client beside an app is seldom closed by its owner, and aiohttp complains at length about
# connections that are still open when the process exits.
_dispatchers: "weakref.WeakSet[CallDispatcher]" = weakref.WeakSet()


def _close_at_exit() -> None:
    for dispatcher in list(_dispatchers):
        dispatcher.close()


atexit.register(_close_at_exit)
