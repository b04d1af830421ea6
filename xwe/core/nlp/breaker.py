"""A circuit breaker: a provider that keeps failing gets no requests for a while.

While it is open, callers get an error in microseconds instead of each waiting for a timeout.
"""

import threading
import time
from collections.abc import Callable

from xwe.errors import (
    CircuitOpenError,
    ProviderError,
    ProviderStatusError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    StreamInterruptedError,
)

_FAILURES = (
    ProviderUnreachableError,
    ProviderTimeoutError,
    ProviderStatusError,
    StreamInterruptedError,
)


class CircuitBreaker:
    """Opens after `failures` failed attempts in a row; lets one probe through after `reset_s`.

    A refused key, a limit or a malformed reply is an answer, not a failure. Thread-safe.

    Args:
        failures: the number in a row that opens it.
        reset_s: how long it stays open before a probe, in seconds.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        failures: int = 5,
        reset_s: float = 30.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = failures
        self._reset_s = reset_s
        self._clock = clock
        self._guard = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether attempts are refused, except for a probe."""
        return self._opened_at is not None

    @property
    def state(self) -> str:
        """One of "closed", "open" and "half_open" (while a probe runs)."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._probing else "open"

    def enter(self) -> None:
        """Ask to make an attempt, which must end with one of the three methods below.

        Raises:
            CircuitOpenError: the breaker is open; `retry_after_s` says for how long.
        """
        if not self.is_open:
            return
        with self._guard:
            opened_at = self._opened_at
            if opened_at is None:  # closed while this caller waited for the lock
                return
            wait_s = opened_at + self._reset_s - self._clock()
            if self._probing or wait_s > 0:
                raise CircuitOpenError(
                    f"The model's provider failed {self._threshold} times in a row; "
                    "it is tried again shortly.",
                    retry_after_s=max(1.0, wait_s),
                )
            self._probing = True

    def succeed(self) -> None:
        """The attempt got an answer."""
        if self._failures or self._opened_at is not None:
            with self._guard:
                self._failures, self._opened_at, self._probing = 0, None, False

    def fail(self, error: ProviderError) -> None:
        """The attempt failed with `error`."""
        if not isinstance(error, _FAILURES):
            self.succeed()
            return
        with self._guard:
            self._failures += 1
            self._probing = False
            if self._failures >= self._threshold:
                self._opened_at = self._clock()

    def abandon(self) -> None:
        """The attempt was cancelled, which says nothing about the provider."""
        if self._probing:
            with self._guard:
                self._probing = False
