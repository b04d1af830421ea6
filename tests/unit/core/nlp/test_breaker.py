import pytest

from xwe.core.nlp.breaker import CircuitBreaker
from xwe.errors import (
    CircuitOpenError,
    ProviderAuthError,
    ProviderBadReplyError,
    ProviderRateLimitedError,
    ProviderStatusError,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(5, 30.0, clock=clock)
    for _ in range(5):
        breaker.enter()
        breaker.fail(ProviderStatusError())
    return breaker


def test_opens_after_five_failures_in_a_row_and_says_when_to_come_back() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    with pytest.raises(CircuitOpenError) as refused:
        breaker.enter()
    assert refused.value.retry_after_s == 20.0
    assert breaker.state == "open"


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(5, 30.0)
    for _ in range(4):
        breaker.fail(ProviderStatusError())
    breaker.succeed()
    for _ in range(4):
        breaker.fail(ProviderStatusError())
    breaker.enter()
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "answer", [ProviderAuthError(), ProviderBadReplyError(), ProviderRateLimitedError()]
)
def test_an_answer_that_is_no_failure_does_not_count(answer: Exception) -> None:
    breaker = CircuitBreaker(2, 30.0)
    breaker.fail(ProviderStatusError())
    breaker.fail(answer)
    breaker.fail(ProviderStatusError())
    assert breaker.state == "closed"


def test_one_probe_is_let_through_and_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 30
    breaker.enter()
    assert breaker.state == "half_open"
    with pytest.raises(CircuitOpenError):
        breaker.enter()
    breaker.succeed()
    breaker.enter()
    assert breaker.state == "closed"


def test_a_failed_probe_opens_it_for_another_period() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 30
    breaker.enter()
    breaker.fail(ProviderStatusError())
    clock.now += 29
    with pytest.raises(CircuitOpenError):
        breaker.enter()
    clock.now += 1
    breaker.enter()


def test_a_cancelled_probe_lets_the_next_one_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 30
    breaker.enter()
    breaker.abandon()
    breaker.enter()
    assert breaker.state == "half_open"
