"""How long a blocking call may take: its own timeout or the deadline of the block around it."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import TIMEOUT_MAX

from xwe.errors import DeadlineExceededError


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment after which nobody needs the answer.

    Attributes:
        at: the moment, in seconds of `time.monotonic()`.
        asked_s: the timeout that set it, in seconds.
    """

    at: float
    asked_s: float = math.inf

    def remaining_s(self) -> float:
        """Seconds left; 0 once it has passed, infinite without a limit."""
        return max(0.0, self.at - time.monotonic())

    def expired(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self.at


NO_DEADLINE = Deadline(math.inf)

_surrounding: ContextVar[Deadline] = ContextVar("xwe_blocking_deadline", default=NO_DEADLINE)


@contextmanager
def timeout(seconds: float | None) -> Iterator[Deadline]:
    """A deadline for every blocking call inside the `with` block, as `asyncio.timeout`.

    When it passes, the call under way is cancelled where possible and raises
    DeadlineExceededError (a TimeoutError), as does every later call. An inner block can only
    shorten it. It is a context variable, so work handed to a pool inside the block honours it too.
    `None` sets no limit.
    """
    around = _surrounding.get()
    deadline = around
    if seconds is not None and (at := time.monotonic() + seconds) < around.at:
        deadline = Deadline(at, max(0.0, seconds))
    token = _surrounding.set(deadline)
    try:
        yield deadline
    finally:
        _surrounding.reset(token)


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of one blocking call.

    Attributes:
        seconds: how long it may take, at most TIMEOUT_MAX; None for no limit.
        is_surrounding: whether the block around the call set it, not the call itself.
        asked_s: the timeout as it was given, of which some may have passed.
    """

    seconds: float | None
    is_surrounding: bool
    asked_s: float = 0.0

    def error(self) -> DeadlineExceededError:
        """The error for a call that took too long."""
        whose = "the deadline around the call" if self.is_surrounding else "the call's timeout"
        return DeadlineExceededError(f"No answer within {self.asked_s:g} s ({whose}).")


def limit_of(timeout_s: float | None) -> Limit:
    """The nearer of a call's own timeout and the deadline around it.

    Raises:
        DeadlineExceededError: the deadline around the call has passed.
    """
    around = _surrounding.get()
    if around.expired():
        raise Limit(0.0, is_surrounding=True, asked_s=around.asked_s).error()
    remaining_s = around.remaining_s()
    if timeout_s is not None and timeout_s <= remaining_s:
        own_s = max(0.0, timeout_s)
        return Limit(min(own_s, TIMEOUT_MAX), is_surrounding=False, asked_s=own_s)
    if remaining_s < math.inf:
        return Limit(min(remaining_s, TIMEOUT_MAX), is_surrounding=True, asked_s=around.asked_s)
    return Limit(None, is_surrounding=False)
