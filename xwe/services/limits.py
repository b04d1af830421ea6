"""The limits of each user: requests, prompts, jobs, characters.

Each process counts for itself. People who are not signed in have no limits of their own; the
server's limits hold for all of them together. Running answers are counted by `Answers`, their
readers by `ReaderSlots`. Registrations are counted by address.
"""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from xwe.errors import CharacterLimitError, LimitExceededError
from xwe.streams.answers import NOBODY

WINDOW_S = 60.0
# The key that was used least recently is forgotten first.
MAX_REMEMBERED = 10_000

HOUR_S = 3600.0

JOB_RETRY_AFTER_S = 15.0


class SlidingWindow:
    """Counts events by key over the last `period_s` seconds. Thread-safe.

    Args:
        allowed: the most events in any such time.
        period_s: the window's length.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        allowed: int,
        period_s: float = WINDOW_S,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = allowed
        self._period_s = period_s
        self._clock = clock
        self._guard = threading.Lock()
        self._events: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """How long until another event is allowed, in seconds; 0 if it is now."""
        with self._guard:
            return self._wait_s(self._recent(key))

    def add(self, key: str) -> None:
        """Count an event, allowed or not."""
        with self._guard:
            self._count(key, self._recent(key))

    def take(self, key: str) -> float:
        """Count an event if it is allowed, and return 0; else return the seconds to wait."""
        with self._guard:
            recent = self._recent(key)
            wait_s = self._wait_s(recent)
            if not wait_s:
                self._count(key, recent)
            return wait_s

    def forget(self, key: str) -> None:
        """Forget all events."""
        with self._guard:
            self._events.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        recent = self._events.get(key)
        if recent is None:
            return deque(maxlen=self._allowed)
        begin = self._clock() - self._period_s
        while recent and recent[0] <= begin:
            recent.popleft()
        return recent

    def _wait_s(self, recent: deque[float]) -> float:
        if len(recent) < self._allowed:
            return 0.0
        return max(0.001, recent[0] + self._period_s - self._clock())

    def _count(self, key: str, recent: deque[float]) -> None:
        recent.append(self._clock())
        self._events[key] = recent
        self._events.move_to_end(key)
        if len(self._events) > MAX_REMEMBERED:
            self._events.popitem(last=False)


@dataclass(frozen=True, slots=True)
class UserLimits:
    """The limits of each user.

    Attributes:
        requests_per_minute: requests that call the model; None for no limit.
        jobs: queued and running jobs.
        characters: characters that are not deleted.
        prompt_bytes: the largest request body that goes to the model.
    """

    requests_per_minute: int | None = 60
    jobs: int = 5
    characters: int = 200
    prompt_bytes: int = 1 << 20


class Limits:
    """Refuses what is beyond a limit, with 429. `owner` is what `stream_owner()` returns.

    Args:
        limits: of each user.
        registrations_per_hour: attempts to make an account from one address; 0 for no limit.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        limits: UserLimits | None = None,
        *,
        registrations_per_hour: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.of_user = limits or UserLimits()
        allowed = self.of_user.requests_per_minute
        self._requests = None if allowed is None else SlidingWindow(allowed, clock=clock)
        self._registrations = (
            SlidingWindow(registrations_per_hour, HOUR_S, clock=clock)
            if registrations_per_hour
            else None
        )

    def take_request(self, owner: str) -> None:
        """Count a request that calls the model.

        Raises:
            LimitExceededError: the user's requests of this minute are used up.
        """
        if self._requests is None or owner == NOBODY:
            return
        wait_s = self._requests.take(owner)
        if wait_s:
            raise LimitExceededError(
                f"You may ask {self.of_user.requests_per_minute} times a minute; the next time in "
                f"{math.ceil(wait_s)} s.",
                retry_after_s=wait_s,
            )

    def take_registration(self, address: str | None) -> None:
        """Count an attempt to make an account, before its password costs a hash.

        Args:
            address: of the client; None, if it is unknown, is not counted.

        Raises:
            LimitExceededError: the address's attempts of this hour are used up.
        """
        if self._registrations is None or address is None:
            return
        wait_s = self._registrations.take(address)
        if wait_s:
            raise LimitExceededError(
                "No more accounts can be made from your address for now; the next in "
                f"{math.ceil(wait_s / 60)} min.",
                retry_after_s=wait_s,
            )

    def refuse_more_jobs(self, unfinished: int) -> None:
        """Check that a user may queue another job.

        Args:
            unfinished: the number of the user's queued and running jobs.

        Raises:
            LimitExceededError: they have reached the limit.
        """
        if unfinished >= self.of_user.jobs:
            raise LimitExceededError(
                f"You have {unfinished} unfinished tasks, which is the limit.",
                retry_after_s=JOB_RETRY_AFTER_S,
            )

    def refuse_more_characters(self, there: int) -> None:
        """Check that a user may have another character.

        Args:
            there: the number of their characters.

        Raises:
            CharacterLimitError: they have reached the limit.
        """
        if there >= self.of_user.characters:
            raise CharacterLimitError(
                f"You have {there} characters, which is the limit: delete one first."
            )
