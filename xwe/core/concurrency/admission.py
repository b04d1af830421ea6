"""Admission: N run, Q wait, the next is refused at once, and told how long the wait would be.

A queue without a bound turns overload into a delay for everybody; a bound turns it into a clear
answer for a few.
"""

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from xwe.core.concurrency.handover import loop_wake_up
from xwe.errors import SaturatedError

# How much a new measurement moves the mean time that a place is held.
MEAN_WEIGHT = 0.1
# Retry-After counts whole seconds, so no smaller wait can be told.
SHORTEST_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class AdmissionStats:
    """An admission at one moment; `mean_held_s` is the running mean of a place's time."""

    running: int
    waiting: int
    max_running: int
    max_waiting: int
    refused: int
    mean_held_s: float


class _Waiter:
    __slots__ = ("granted", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.granted = False


class Admission:
    """Places for work, in order of arrival, for threads and for coroutines on any loop at once.

    Args:
        max_running: how many hold a place at the same time.
        max_waiting: how many may wait for one.
        name: what is limited, for the message of a refusal.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        max_running: int,
        max_waiting: int,
        *,
        name: str = "calls",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_running < 1 or max_waiting < 0:
            raise ValueError("max_running must be at least 1 and max_waiting at least 0")
        self.max_running = max_running
        self.max_waiting = max_waiting
        self._name = name
        self._clock = clock
        self._guard = threading.Lock()
        self._running = 0
        self._refused = 0
        self._mean_held_s = 0.0
        self._waiters: deque[_Waiter] = deque()

    def try_enter(self) -> bool:
        """Take a place if one is free; the fast way in. Every True needs one `leave()`.

        None is free while somebody waits: a place that is given back passes on.
        """
        with self._guard:
            if self._running < self.max_running:
                self._running += 1
                return True
            return False

    async def enter(self) -> None:
        """Take a place, waiting for it in turn.

        Raises:
            SaturatedError: as many wait already as may; `retry_after_s` estimates the wait.
        """
        wake, granted = loop_wake_up()
        waiter = self._queue_up(wake)
        if waiter is None:
            return
        try:
            await granted
        except BaseException:
            self._give_up(waiter)
            raise

    def enter_blocking(self, timeout_s: float | None = None) -> None:
        """The same for a thread.

        Raises:
            SaturatedError: as above, or no place within `timeout_s` seconds.
        """
        granted = threading.Lock()
        granted.acquire()
        waiter = self._queue_up(granted.release)
        if waiter is None:
            return
        try:
            in_time = granted.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))
        except BaseException:
            self._give_up(waiter)
            raise
        if not in_time:
            self._give_up(waiter)
            with self._guard:
                self._refused += 1
            raise SaturatedError(
                f"No place for more {self._name} within {timeout_s:g} s.",
                retry_after_s=self.estimate_wait_s(),
            )

    def leave(self, held_s: float | None = None) -> None:
        """Give a place back, to the one who has waited longest.

        Args:
            held_s: how long it was held, in seconds; feeds the estimate.
        """
        with self._guard:
            if held_s is not None:
                mean = self._mean_held_s
                self._mean_held_s = mean + (held_s - mean) * MEAN_WEIGHT if mean else held_s
        while not self._pass_on():
            pass

    def _pass_on(self) -> bool:
        with self._guard:
            if not self._waiters:
                self._running -= 1
                return True
            waiter = self._waiters.popleft()  # the place passes on: it is never free in between
            waiter.granted = True
        # The place of a waiter whose loop has ended goes to the next one.
        return waiter.wake() is not False or not self._take_back(waiter)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for the length of an `async with`."""
        if not self.try_enter():
            await self.enter()
        entered = self._clock()
        try:
            yield
        finally:
            self.leave(self._clock() - entered)

    @contextmanager
    def place_blocking(self, timeout_s: float | None = None) -> Iterator[None]:
        """A place for the length of a `with`."""
        if not self.try_enter():
            self.enter_blocking(timeout_s)
        entered = self._clock()
        try:
            yield
        finally:
            self.leave(self._clock() - entered)

    def estimate_wait_s(self) -> float:
        """How long a newcomer would wait now, in seconds; at least SHORTEST_RETRY_S."""
        ahead = len(self._waiters) + 1
        return max(SHORTEST_RETRY_S, self._mean_held_s * ahead / self.max_running)

    def stats(self) -> AdmissionStats:
        """The admission at this moment."""
        with self._guard:
            return AdmissionStats(
                running=self._running,
                waiting=len(self._waiters),
                max_running=self.max_running,
                max_waiting=self.max_waiting,
                refused=self._refused,
                mean_held_s=self._mean_held_s,
            )

    def _queue_up(self, wake: Callable[[], object]) -> _Waiter | None:
        """A waiter in the queue, or None when a place was free after all."""
        with self._guard:
            if self._running < self.max_running:
                self._running += 1
                return None
            if len(self._waiters) >= self.max_waiting:
                self._refused += 1
                raise SaturatedError(
                    f"{self._running} {self._name} run and {len(self._waiters)} wait: "
                    "no more are taken right now.",
                    retry_after_s=self.estimate_wait_s(),
                )
            waiter = _Waiter(wake)
            self._waiters.append(waiter)
            return waiter

    def _give_up(self, waiter: _Waiter) -> None:
        """Leave the queue; a place granted in the meantime goes to the next one."""
        if self._take_back(waiter):
            self.leave()

    def _take_back(self, waiter: _Waiter) -> bool:
        """Whether a place was granted; to one caller only, for a place passes on only once."""
        with self._guard:
            granted, waiter.granted = waiter.granted, False
            if not granted and waiter in self._waiters:
                self._waiters.remove(waiter)
        return granted
