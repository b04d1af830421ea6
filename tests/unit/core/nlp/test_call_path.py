"""The path's decisions, with a side whose waits are recorded instead of waited for."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent import futures
from typing import Any

import pytest

from xwe.core.concurrency.admission import Admission
from xwe.core.concurrency.rate_limit import RateLimiter
from xwe.core.nlp.assembly import ReplyAssembly
from xwe.core.nlp.breaker import CircuitBreaker
from xwe.core.nlp.cache import AnswerCache, cache_key
from xwe.core.nlp.call_path import CallGuards, CallPath, PhaseLimits, estimate_tokens
from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits, Usage
from xwe.core.nlp.observation import CallRecord, request_id, user_id
from xwe.core.nlp.retry import Backoff, RetryPolicy, RetryQuota
from xwe.core.nlp.runtime import iterate_without_loop, run_without_loop
from xwe.errors import (
    CircuitOpenError,
    DeadlineExceededError,
    ProviderAuthError,
    ProviderRateLimitedError,
    ProviderStatusError,
    ProviderTimeoutError,
    SaturatedError,
    StreamInterruptedError,
)

QUESTION = CompletionRequest(messages=[{"role": "user", "content": "hi"}], model="m", temperature=0)
ANSWER = Completion("hello", "stop", Usage(1, 2, 3))


class ScriptedRuntime:
    """Answers in the order of its script: a Completion, a list of deltas, or an error."""

    def __init__(self, *script: Any) -> None:
        self.script = deque(script)
        self.slept: list[float] = []
        self.limits: list[TimeLimits] = []
        self.closed = 0
        self.before_answer: Callable[[], None] = lambda: None

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        self.limits.append(limits)
        self.before_answer()
        outcome = self.script.popleft()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def stream(
        self, request: CompletionRequest, limits: TimeLimits
    ) -> AsyncGenerator[Delta, None]:
        self.limits.append(limits)
        outcome = self.script.popleft()
        try:
            for piece in outcome if isinstance(outcome, list) else [outcome]:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self.closed += 1

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def enter(self, admission: Admission, timeout_s: float) -> None:
        admission.enter_blocking(0)

    async def acquire(self, limiter: RateLimiter, timeout_s: float, weight: int) -> bool:
        return limiter.acquire_sync(0, weight)

    async def outcome(self, future: futures.Future, timeout_s: float) -> Any:
        return future.result(timeout_s)


class Fixture:
    def __init__(self, *script: Any, **guards: Any) -> None:
        self.runtime = ScriptedRuntime(*script)
        self.guards = CallGuards(**guards)
        self.records: list[CallRecord] = []
        self.path = CallPath(
            self.runtime,
            provider="127.0.0.1:1",
            retry=RetryPolicy(3, Backoff(0.001)),
            phases=PhaseLimits(),
            guards=self.guards,
            observer=self.records.append,
        )

    def complete(self, within_s: float = 30.0, request: CompletionRequest = QUESTION) -> Completion:
        return run_without_loop(self.path.complete(request, time.monotonic() + within_s))

    def stream(self, assembly: ReplyAssembly | None = None):
        return iterate_without_loop(self.path.stream(QUESTION, 30, assembly or ReplyAssembly()))


def test_a_failed_attempt_is_tried_again_after_a_pause() -> None:
    call = Fixture(ProviderStatusError(), ProviderTimeoutError(), ANSWER)
    completion = call.complete()
    assert completion.text == "hello"
    assert completion.timings is not None
    assert completion.timings.attempts == 3
    assert len(call.runtime.slept) == 2


def test_the_last_error_is_raised_when_attempts_run_out() -> None:
    call = Fixture(*[ProviderStatusError(status=529)] * 3)
    with pytest.raises(ProviderStatusError):
        call.complete()
    assert not call.runtime.script


def test_an_error_that_will_not_pass_is_raised_at_once() -> None:
    call = Fixture(ProviderAuthError(status=401), ANSWER)
    with pytest.raises(ProviderAuthError):
        call.complete()
    assert len(call.runtime.script) == 1
    assert call.records[0].outcome == "provider_auth"


def test_each_attempt_gets_what_is_left_until_the_deadline() -> None:
    call = Fixture(ProviderStatusError(), ANSWER)
    begun = time.monotonic()
    run_without_loop(call.path.complete(QUESTION, begun + 20))
    taken_s = time.monotonic() - begun
    first, second = (limits.total_s for limits in call.runtime.limits)
    assert 20 - taken_s <= second < first <= 20


def test_a_deadline_that_has_passed_asks_nobody() -> None:
    call = Fixture(ANSWER)
    with pytest.raises(DeadlineExceededError):
        call.complete(within_s=-1)
    assert len(call.runtime.script) == 1


def test_a_timeout_at_the_deadline_is_the_deadlines_error() -> None:
    call = Fixture(ProviderTimeoutError())
    deadline = time.monotonic() + 0.05
    call.runtime.before_answer = lambda: time.sleep(max(0, deadline - time.monotonic() + 0.001))
    with pytest.raises(DeadlineExceededError):
        run_without_loop(call.path.complete(QUESTION, deadline))


def test_a_limit_that_does_not_fit_the_deadline_is_passed_on_with_its_time() -> None:
    call = Fixture(ProviderRateLimitedError(retry_after_s=60), ANSWER)
    with pytest.raises(ProviderRateLimitedError) as refused:
        call.complete()
    assert refused.value.retry_after_s == 60


def test_a_breaker_that_opens_during_the_attempts_ends_them_with_the_real_error() -> None:
    call = Fixture(*[ProviderStatusError()] * 3, breaker=CircuitBreaker(failures=2))
    with pytest.raises(ProviderStatusError):
        call.complete()
    assert len(call.runtime.script) == 1
    with pytest.raises(CircuitOpenError):
        call.complete()
    assert len(call.runtime.script) == 1


def test_an_empty_quota_stops_retries_but_not_calls() -> None:
    quota = RetryQuota(capacity=1, earned_per_call=0)
    quota.spend()
    call = Fixture(ProviderStatusError(), ANSWER, quota=quota)
    with pytest.raises(ProviderStatusError):
        call.complete()
    assert call.complete().text == "hello"


def test_a_full_admission_refuses_and_each_way_out_gives_the_place_back() -> None:
    admission = Admission(1, 0)
    call = Fixture(ANSWER, ProviderAuthError(), ValueError("a bug"), ANSWER, admission=admission)
    with admission.place_blocking(), pytest.raises(SaturatedError):
        call.complete()
    assert call.records[-1].outcome == "saturated"
    call.complete()
    for error in (ProviderAuthError, ValueError):
        with pytest.raises(error):
            call.complete()
    call.complete()
    assert admission.stats().running == 0


def test_the_rate_limit_refuses_when_the_wait_would_be_too_long() -> None:
    call = Fixture(ANSWER, ANSWER, requests_per_minute=RateLimiter(1, 60.0))
    call.complete()
    with pytest.raises(SaturatedError, match="LLM_RPM"):
        call.complete()


def test_a_request_larger_than_the_token_limit_is_let_through_alone() -> None:
    call = Fixture(ANSWER, tokens_per_minute=RateLimiter(10, 60.0))
    assert call.complete(request=CompletionRequest(messages=[], model="m", max_tokens=99))


def test_tokens_are_estimated_from_the_text_and_the_longest_reply() -> None:
    request = CompletionRequest(
        messages=[{"role": "user", "content": "x" * 25}, {"role": "assistant", "content": None}],
        model="m",
        max_tokens=100,
    )
    assert estimate_tokens(request) == 10 + 100 + 1


# --- streams ---


def test_a_stream_is_tried_again_until_its_first_piece() -> None:
    call = Fixture(ProviderStatusError(), [Delta("a"), Delta("b"), Delta(finish_reason="stop")])
    assembly = ReplyAssembly()
    assert [d.text for d in call.stream(assembly)] == ["a", "b", ""]
    assert assembly.completion().finish_reason == "stop"
    assert assembly.timings is not None
    assert assembly.timings.attempts == 2
    assert assembly.timings.first_token_s is not None


def test_a_stream_is_never_tried_again_after_its_first_piece() -> None:
    call = Fixture([Delta("half"), StreamInterruptedError(reason="reset")], [Delta("again")])
    assembly = ReplyAssembly()
    with pytest.raises(StreamInterruptedError):
        list(call.stream(assembly))
    assert assembly.text == "half"
    assert len(call.runtime.script) == 1
    assert call.records[0].outcome == "stream_interrupted"


def test_a_reader_that_leaves_closes_the_source_and_gives_the_place_back() -> None:
    admission = Admission(1, 0)
    call = Fixture([Delta("a"), Delta("b")], admission=admission)
    stream = call.stream()
    next(stream)
    assert admission.stats().running == 1
    stream.close()
    assert (call.runtime.closed, admission.stats().running) == (1, 0)
    assert call.records[0].outcome == "cancelled"


# --- observation ---


def test_a_record_says_how_it_went_and_for_whom_and_nothing_of_the_content() -> None:
    call = Fixture(ANSWER)
    tokens = request_id.set("req-1"), user_id.set("7")
    try:
        call.complete()
    finally:
        request_id.reset(tokens[0])
        user_id.reset(tokens[1])
    record = call.records[0]
    assert (record.outcome, record.request_id, record.user_id) == ("ok", "req-1", "7")
    assert record.usage == Usage(1, 2, 3)
    assert "hello" not in repr(record)
    assert "hi" not in repr(record)


# --- cache and single-flight ---


def test_the_same_question_at_temperature_zero_is_answered_from_the_cache() -> None:
    call = Fixture(ANSWER, cache=AnswerCache(60.0))
    call.complete()
    again = call.complete()
    assert again.text == "hello"
    assert again.timings is not None
    assert again.timings.attempts == 0


def test_an_answer_from_the_cache_is_observed_as_a_call_that_asked_nobody() -> None:
    call = Fixture(ANSWER, cache=AnswerCache(60.0))
    call.complete()
    token = request_id.set("req-2")
    call.complete()
    request_id.reset(token)
    asked, cached = call.records
    assert (asked.outcome, asked.timings.attempts) == ("ok", 1)
    assert (cached.outcome, cached.timings.attempts, cached.request_id) == ("ok", 0, "req-2")
    assert (cached.provider, cached.model, cached.kind) == ("127.0.0.1:1", "m", "whole")
    assert cached.usage is None, "the provider counted nothing for it"


def test_above_temperature_zero_each_asking_is_a_call_of_its_own() -> None:
    warm = CompletionRequest(messages=QUESTION.messages, model="m", temperature=0.7)
    unsaid = CompletionRequest(messages=QUESTION.messages, model="m")
    call = Fixture(*[ANSWER] * 4, cache=AnswerCache(60.0))
    for request in (warm, warm, unsaid, unsaid):
        call.complete(request=request)
    assert not call.runtime.script


def test_an_answer_expires_and_the_oldest_make_room() -> None:
    now = [0.0]
    cache = AnswerCache(10.0, max_entries=1, clock=lambda: now[0])
    call = Fixture(*[ANSWER] * 4, cache=cache)
    other = CompletionRequest(messages=[{"role": "user", "content": "?"}], model="m", temperature=0)
    call.complete()
    now[0] = 10.0
    call.complete()
    call.complete(request=other)
    call.complete()
    assert not call.runtime.script


def test_callers_who_ask_at_the_same_time_share_one_call() -> None:
    call = Fixture(ANSWER, cache=AnswerCache(60.0))
    asked, others_wait = threading.Event(), threading.Event()

    def answer_late() -> None:
        asked.set()
        assert others_wait.wait(60)

    call.runtime.before_answer = answer_late
    with futures.ThreadPoolExecutor(3) as pool:
        leader = pool.submit(call.complete)
        assert asked.wait(60)
        followers = [pool.submit(call.complete) for _ in range(2)]
        others_wait.set()
        texts = [f.result(60).text for f in (leader, *followers)]
    assert texts == ["hello"] * 3
    assert not call.runtime.script
    assert sorted(record.timings.attempts for record in call.records) == [0, 0, 1]
    assert {record.outcome for record in call.records} == {"ok"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ProviderAuthError(), "provider_auth"),
        (DeadlineExceededError(), "deadline_exceeded"),
        (asyncio.CancelledError(), "cancelled"),
    ],
    ids=repr,
)
def test_a_follower_that_gets_no_answer_is_observed_too(error: BaseException, outcome: str) -> None:
    cache = AnswerCache(60.0)
    call = Fixture(cache=cache)
    key = cache_key(QUESTION)
    assert key is not None
    cache.join(key)  # somebody else asks, and is not done

    async def wait_in_vain(flight: futures.Future, timeout_s: float) -> Any:
        raise error

    call.runtime.outcome = wait_in_vain
    with pytest.raises(type(error)):
        call.complete()
    (record,) = call.records
    assert (record.outcome, record.timings.attempts) == (outcome, 0)


def test_a_follower_whose_leader_was_cancelled_asks_for_itself() -> None:
    cache = AnswerCache(60.0)
    call = Fixture(asyncio.CancelledError(), ANSWER, cache=cache)
    with futures.ThreadPoolExecutor(1) as pool:
        followed = threading.Event()
        follower: list[futures.Future] = []
        original_join = cache.join

        def join_and_tell(key: bytes):
            flight, is_mine = original_join(key)
            if not is_mine:
                followed.set()
            return flight, is_mine

        cache.join = join_and_tell  # type: ignore[method-assign]

        def follow_before_the_leader_ends() -> None:
            if not follower:
                follower.append(pool.submit(call.complete))
                assert followed.wait(60)

        call.runtime.before_answer = follow_before_the_leader_ends
        with pytest.raises(asyncio.CancelledError):
            call.complete()
        assert follower[0].result(60).text == "hello"


def test_a_shared_failure_reaches_everyone_and_is_not_kept() -> None:
    call = Fixture(ProviderAuthError(), ANSWER, cache=AnswerCache(60.0))
    with pytest.raises(ProviderAuthError):
        call.complete()
    assert call.complete().text == "hello"
