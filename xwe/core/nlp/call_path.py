"""The one path of every model call.

deadline → cache and single-flight → admission → retry( breaker → rate limit → transport )

It is written once, for both runtimes (`runtime.py`). It adds a few microseconds to a call, so each
stage has a fast way through.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator
from concurrent.futures import CancelledError as FlightCancelledError
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from xwe.core.concurrency.admission import Admission
from xwe.core.concurrency.rate_limit import RateLimiter
from xwe.core.nlp.assembly import ReplyAssembly
from xwe.core.nlp.breaker import CircuitBreaker
from xwe.core.nlp.cache import AnswerCache, cache_key
from xwe.core.nlp.completion import (
    Completion,
    CompletionRequest,
    Delta,
    TimeLimits,
    Timings,
    Usage,
)
from xwe.core.nlp.observation import CallRecord, Observer, log_failure, request_id, user_id
from xwe.core.nlp.retry import RetryPolicy, RetryQuota
from xwe.core.nlp.runtime import Runtime
from xwe.errors import (
    DeadlineExceededError,
    ProviderError,
    ProviderTimeoutError,
    SaturatedError,
    XweError,
)

log = logging.getLogger("xwe.llm")

# Between English (4) and Chinese (1.5); only the tokens-per-minute limit relies on it.
CHARACTERS_PER_TOKEN = 2.5
# A loop's timers count in milliseconds and may fire one too early: that is still the deadline.
TIMER_SLACK_S = 0.005


@dataclass(frozen=True, slots=True)
class PhaseLimits:
    """The limits within a call, in seconds; see `TimeLimits`."""

    connect_s: float = 5.0
    first_token_s: float = 30.0
    idle_s: float = 30.0


@dataclass(slots=True)
class CallGuards:
    """The limits that all calls of a client share; None means no limit.

    Attributes:
        admission: slots for running calls.
        breaker: opens when the provider keeps failing.
        quota: the retry quota.
        requests_per_minute: the limit towards the provider.
        tokens_per_minute: the same for tokens, by estimate.
        cache: the answer cache.
    """

    admission: Admission | None = None
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    quota: RetryQuota = field(default_factory=RetryQuota)
    requests_per_minute: RateLimiter | None = None
    tokens_per_minute: RateLimiter | None = None
    cache: AnswerCache | None = None

    def without_admission(self) -> "CallGuards":
        """The same limits, without admission: for a runtime that something else bounds."""
        return replace(self, admission=None)


class _Call:
    """One call, from admission to its record, with its timings so far."""

    __slots__ = (
        "_admission",
        "_kind",
        "_observer",
        "_provider",
        "_request",
        "attempts",
        "deadline",
        "first_token_s",
        "queue_s",
        "runtime",
        "started",
        "upstream_s",
        "usage",
    )

    def __init__(
        self, path: "CallPath", request: CompletionRequest, deadline: float, kind: str
    ) -> None:
        self.runtime = path.runtime
        self.deadline = deadline
        self.started = time.monotonic()
        self.queue_s = 0.0
        self.upstream_s = 0.0
        self.first_token_s: float | None = None
        self.attempts = 0
        self.usage: Usage | None = None
        self._provider = path.provider
        self._admission = path.guards.admission
        self._observer = path.observer
        self._request = request
        self._kind = kind

    async def __aenter__(self) -> Self:
        admission = self._admission
        if admission is not None and not admission.try_enter():
            try:
                await self.runtime.enter(admission, self.remaining_s())
            except XweError as error:
                self._admission = None
                self.record(error)
                raise
            self.queue_s = time.monotonic() - self.started
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._admission is not None:
            self._admission.leave(time.monotonic() - self.started - self.queue_s)
        self.record(exc)

    def remaining_s(self) -> float:
        return self.deadline - time.monotonic()

    def timings(self) -> Timings:
        total_s = time.monotonic() - self.started
        return Timings(self.queue_s, self.upstream_s, self.first_token_s, total_s, self.attempts)

    def answer_with(self, completion: Completion) -> Completion:
        """End a call that another call has answered already."""
        self.record(None)
        return replace(completion, timings=self.timings())

    def record(self, error: BaseException | None) -> None:
        """Report the outcome to the observer."""
        outcome, detail = "ok", ""
        if isinstance(error, XweError):
            outcome, detail = error.code, error.message
        elif error is not None:
            # A reader that leaves or a caller that is cancelled is not the provider's failure.
            gone = isinstance(error, (asyncio.CancelledError, GeneratorExit))
            outcome, detail = ("cancelled", "") if gone else ("internal", type(error).__name__)
        self._observer(
            CallRecord(
                self._provider,
                self._request.model,
                self._kind,
                outcome,
                detail,
                self.timings(),
                self.usage,
                request_id.get(),
                user_id.get(),
            )
        )


class CallPath:
    """Gets a reply from the provider for each request, or one clear error.

    Args:
        runtime: where the calls run.
        provider: its host and port, for records.
        retry: which failures are retried.
        phases: time limits within a call.
        guards: the shared limits.
        observer: called at the end of each call.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        provider: str,
        retry: RetryPolicy,
        phases: PhaseLimits,
        guards: CallGuards,
        observer: Observer = log_failure,
    ) -> None:
        self.runtime = runtime
        self.provider = provider
        self.guards = guards
        self.observer = observer
        self._retry = retry
        self._phases = phases

    async def complete(self, request: CompletionRequest, deadline: float) -> Completion:
        """The whole reply.

        Args:
            request: the request.
            deadline: in seconds of the monotonic clock.

        Raises:
            SaturatedError: too many calls run and wait.
            DeadlineExceededError: the deadline passed.
            ProviderError: the provider failed, and no further attempt made sense.
        """
        cache = self.guards.cache
        key = cache_key(request) if cache is not None else None
        if cache is None or key is None:
            return await self._complete(request, deadline)
        while True:
            kept = cache.lookup(key)
            if kept is not None:
                return _Call(self, request, deadline, "whole").answer_with(kept)
            flight, is_mine = cache.join(key)
            if is_mine:
                return await self._complete_for_all(cache, key, request, deadline)
            call = _Call(self, request, deadline, "whole")
            try:
                return call.answer_with(await self.runtime.outcome(flight, call.remaining_s()))
            except (asyncio.CancelledError, FlightCancelledError, XweError) as error:
                if not flight.cancelled():
                    call.record(error)
                    raise
                # The caller that made the call was cancelled, not this one.

    async def _complete_for_all(
        self, cache: AnswerCache, key: bytes, request: CompletionRequest, deadline: float
    ) -> Completion:
        completion: Completion | None = None
        failure: XweError | None = None
        try:
            completion = await self._complete(request, deadline)
        except XweError as error:
            failure = error
            raise
        finally:
            cache.settle(key, completion, failure)
        return completion

    async def _complete(self, request: CompletionRequest, deadline: float) -> Completion:
        async with _Call(self, request, deadline, "whole") as call:
            self.guards.quota.earn()
            while True:
                limits = await self._begin_attempt(request, call)
                began = time.monotonic()
                try:
                    completion = await self.runtime.complete(request, limits)
                except ProviderError as error:
                    call.upstream_s += time.monotonic() - began
                    await self._recover(error, call)
                    continue
                except BaseException:
                    self.guards.breaker.abandon()
                    raise
                call.upstream_s += time.monotonic() - began
                self.guards.breaker.succeed()
                call.usage = completion.usage
                return Completion(  # not replace(), which costs five times as much
                    completion.text,
                    completion.finish_reason,
                    completion.usage,
                    completion.tool_calls,
                    completion.model,
                    completion.message,
                    call.timings(),
                )

    async def stream(
        self, request: CompletionRequest, timeout_s: float, assembly: ReplyAssembly
    ) -> AsyncGenerator[Delta, None]:
        """The reply in pieces; `assembly` has the whole of it afterwards.

        `timeout_s` counts from when the first piece is asked for. A failed attempt is retried until
        the first piece has come, never after it. Closing the generator closes the upstream
        connection.

        Raises:
            StreamInterruptedError: after the first piece; what has come so far stands.
            XweError: before it, as `complete` does.
        """
        async with _Call(self, request, time.monotonic() + timeout_s, "streamed") as call:
            self.guards.quota.earn()
            source, delta = await self._first_delta(request, call)
            began = time.monotonic()
            try:
                yield assembly.add(delta)
                async for delta in source:
                    yield assembly.add(delta)
            except ProviderError as error:
                self.guards.breaker.fail(error)
                raise
            finally:
                call.upstream_s += time.monotonic() - began
                call.usage = assembly.usage
                await source.aclose()
                assembly.timings = call.timings()

    async def _first_delta(
        self, request: CompletionRequest, call: _Call
    ) -> tuple[AsyncGenerator[Delta, None], Delta]:
        while True:
            limits = await self._begin_attempt(request, call)
            began = time.monotonic()
            source = self.runtime.stream(request, limits)
            try:
                first = await anext(source)
            except ProviderError as error:
                call.upstream_s += time.monotonic() - began
                await self._recover(error, call)
                continue
            except BaseException:
                self.guards.breaker.abandon()
                await source.aclose()
                raise
            now = time.monotonic()
            call.upstream_s += now - began
            call.first_token_s = now - call.started
            self.guards.breaker.succeed()
            return source, first

    async def _begin_attempt(self, request: CompletionRequest, call: _Call) -> TimeLimits:
        """Pass the rate limits and the breaker; the time limits of the attempt that may start."""
        guards = self.guards
        if guards.requests_per_minute is not None or guards.tokens_per_minute is not None:
            await self._wait_for_rate(request, call)
        remaining_s = call.remaining_s()
        if remaining_s <= 0:
            raise DeadlineExceededError("The deadline passed before the model could be asked.")
        guards.breaker.enter()
        call.attempts += 1
        phases = self._phases
        return TimeLimits(phases.connect_s, phases.first_token_s, phases.idle_s, remaining_s)

    async def _wait_for_rate(self, request: CompletionRequest, call: _Call) -> None:
        waited_from = time.monotonic()
        limiters = (
            (self.guards.requests_per_minute, "LLM_RPM", 1),
            (self.guards.tokens_per_minute, "LLM_TPM", estimate_tokens(request)),
        )
        for limiter, variable, weight in limiters:
            if limiter is not None:
                weight_that_fits = min(weight, limiter.burst)
                allowed = await self.runtime.acquire(limiter, call.remaining_s(), weight_that_fits)
                if not allowed:
                    raise SaturatedError(
                        f"The limit towards the provider ({variable}) is used up for now.",
                        retry_after_s=call.remaining_s(),
                    )
        call.queue_s += time.monotonic() - waited_from

    async def _recover(self, error: ProviderError, call: _Call) -> None:
        """Wait before the next attempt; or raise `error`, or that the deadline has passed."""
        breaker = self.guards.breaker
        breaker.fail(error)
        remaining_s = call.remaining_s()
        if remaining_s <= TIMER_SLACK_S and isinstance(error, ProviderTimeoutError):
            raise DeadlineExceededError("The model did not answer before the deadline.") from error
        delay_s = None
        if not breaker.is_open:
            delay_s = self._retry.delay_s(error, call.attempts, remaining_s, self.guards.quota)
        if delay_s is None:
            raise error
        log.info(
            "attempt %d failed kind=%s provider=%s request_id=%s; the next in %.2f s",
            call.attempts,
            error.code,
            self.provider,
            request_id.get(),
            delay_s,
        )
        await self.runtime.sleep(delay_s)


def estimate_tokens(request: CompletionRequest) -> int:
    """A rough estimate of the tokens that the provider will count for `request` and its reply."""
    characters = sum(len(str(message.get("content") or "")) for message in request.messages)
    return math.ceil(characters / CHARACTERS_PER_TOKEN) + (request.max_tokens or 0) + 1
