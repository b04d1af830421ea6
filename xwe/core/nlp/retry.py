"""Which failures are retried, after how long, and when to stop.

Full jitter keeps callers that failed together from retrying together
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). The quota keeps
retries from multiplying the load on a provider that is down: each call earns a fifth of a retry.
"""

import random
import threading
from dataclasses import dataclass

from xwe.errors import (
    ProviderError,
    ProviderRateLimitedError,
    ProviderStatusError,
    ProviderTimeoutError,
    ProviderUnreachableError,
)

_WORTH_ANOTHER = (
    ProviderUnreachableError,
    ProviderTimeoutError,
    ProviderStatusError,
    ProviderRateLimitedError,
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay before attempt n + 1: a random part of `first_s` * 2 ** (n - 1), up to `cap_s`."""

    first_s: float = 0.5
    cap_s: float = 8.0

    def delay_s(self, failed_attempts: int, draw: float) -> float:
        """The delay in seconds for a `draw` from 0 to 1."""
        ceiling: float = min(self.cap_s, self.first_s * 2 ** (failed_attempts - 1))
        return ceiling * draw


def is_worth_another(error: ProviderError) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, ProviderRateLimitedError):
        return not error.quota_exhausted
    return isinstance(error, _WORTH_ANOTHER)


class RetryQuota:
    """A budget of retries that calls fill slowly and retries use up; shared by all callers.

    Args:
        capacity: the most retries, also at the start: a brief failure is always retried.
        earned_per_call: what each call adds; 0.2 limits a dead provider to 1.2 attempts a call.
    """

    def __init__(self, capacity: float = 10.0, earned_per_call: float = 0.2) -> None:
        self._capacity = capacity
        self._earned_per_call = earned_per_call
        self._left = capacity
        self._guard = threading.Lock()

    def earn(self) -> None:
        """Count a call."""
        if self._left < self._capacity:  # a stale read costs at most a fifth of a retry
            with self._guard:
                self._left = min(self._capacity, self._left + self._earned_per_call)

    def spend(self) -> bool:
        """Take one retry; False when there is none left."""
        with self._guard:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    @property
    def left(self) -> float:
        """The retries left."""
        return self._left


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are retried, and after how long.

    Attributes:
        max_attempts: attempts in all, including the first.
        backoff: the delays.
    """

    max_attempts: int = 3
    backoff: Backoff = Backoff()

    def delay_s(
        self, error: ProviderError, failed_attempts: int, remaining_s: float, quota: RetryQuota
    ) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        Args:
            error: the last attempt's.
            failed_attempts: so far, including this one.
            remaining_s: until the deadline.
            quota: one retry is taken from it for another attempt.
        """
        if failed_attempts >= self.max_attempts or not is_worth_another(error):
            return None
        delay_s = self.backoff.delay_s(failed_attempts, random.random())  # noqa: S311 - jitter, not a secret
        if error.retry_after_s is not None:
            delay_s = max(delay_s, error.retry_after_s)
        if delay_s >= remaining_s or not quota.spend():
            return None
        return delay_s
