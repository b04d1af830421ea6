import pytest

from xwe.core.nlp.retry import Backoff, RetryPolicy, RetryQuota, is_worth_another
from xwe.errors import (
    ProviderAuthError,
    ProviderBadReplyError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderStatusError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    StreamInterruptedError,
)

LONG_S = 1000.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ProviderUnreachableError(), True),
        (ProviderTimeoutError(), True),
        (ProviderStatusError(status=529), True),
        (ProviderRateLimitedError(), True),
        (ProviderRateLimitedError(quota_exhausted=True), False),
        (ProviderRejectedError(status=404), False),
        (ProviderAuthError(status=401), False),
        (ProviderBadReplyError(), False),
        (StreamInterruptedError(), False),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(error: ProviderError, expected: bool) -> None:
    assert is_worth_another(error) is expected
    delay = RetryPolicy(3, Backoff(0.1)).delay_s(error, 1, LONG_S, RetryQuota())
    assert (delay is not None) is expected


def test_backoff_doubles_and_is_capped_and_jitter_covers_all_of_it() -> None:
    backoff = Backoff(first_s=0.5, cap_s=3.0)
    assert [backoff.delay_s(n, 1.0) for n in (1, 2, 3, 4, 50)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.delay_s(3, 0.0) == 0.0


def test_attempts_are_counted_in_all() -> None:
    policy, quota = RetryPolicy(3, Backoff(0.0)), RetryQuota()
    error = ProviderStatusError(status=500)
    assert policy.delay_s(error, 1, LONG_S, quota) is not None
    assert policy.delay_s(error, 2, LONG_S, quota) is not None
    assert policy.delay_s(error, 3, LONG_S, quota) is None
    assert RetryPolicy(1).delay_s(error, 1, LONG_S, quota) is None


def test_retry_after_is_honoured_when_it_fits_and_given_up_on_when_not() -> None:
    policy = RetryPolicy(3, Backoff(0.0))
    limited = ProviderRateLimitedError(retry_after_s=7.0)
    assert policy.delay_s(limited, 1, 10.0, RetryQuota()) == 7.0
    assert policy.delay_s(limited, 1, 7.0, RetryQuota()) is None


def test_a_retry_that_does_not_fit_costs_no_quota() -> None:
    quota = RetryQuota(capacity=1)
    RetryPolicy(3).delay_s(ProviderRateLimitedError(retry_after_s=7.0), 1, 1.0, quota)
    assert quota.left == 1


def test_a_dead_provider_is_asked_at_most_one_and_a_fifth_times_a_call() -> None:
    policy, quota = RetryPolicy(3, Backoff(0.0)), RetryQuota()
    while quota.spend():  # the store that a short failure may use up
        pass
    calls, attempts = 1000, 0
    for _ in range(calls):
        quota.earn()
        attempts += 1
        made = 1
        while policy.delay_s(ProviderStatusError(status=503), made, LONG_S, quota) is not None:
            attempts += 1
            made += 1
    assert attempts <= 1.2 * calls + 1


def test_the_quota_never_grows_beyond_its_capacity() -> None:
    quota = RetryQuota(capacity=2, earned_per_call=5)
    quota.spend()
    quota.earn()
    assert quota.left == 2
