"""Admission: N calls run, Q wait, and the next is refused with an estimate of the wait.

An unbounded queue turns overload into a delay for everybody; a bounded one turns it into a clear
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

# The weight of a new measurement in the mean time that a slot is held.
MEAN_WEIGHT = 0.1
# Retry-After counts whole seconds, so a shorter wait cannot be expressed.
SHORTEST_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class AdmissionStats:
    """A snapshot; `mean_held_s` is the running mean of how long a slot is held, in seconds."""

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
    """Slots for work, given out in order of arrival to threads and coroutines of any loop.

    Args:
        max_running: the number of slots.
        max_waiting: how many callers may wait for one.
        name: what is limited, for error messages.
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
        """Take a slot if one is free. Every True needs one `leave()`.

        No slot is free while somebody waits: a slot that is given back goes to the first in line.
        """
        with self._guard:
            if self._running < self.max_running:
                self._running += 1
                return True
            return False

    async def enter(self) -> None:
        """Take a slot, waiting in line for it.

        Raises:
            SaturatedError: `max_waiting` callers wait already; `retry_after_s` estimates the wait.
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
            SaturatedError: as above, or no slot came free within `timeout_s` seconds.
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
        """Give a slot back, to whoever has waited longest.

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
            waiter = self._waiters.popleft()  # handed over: the slot is never free in between
            waiter.granted = True
        # If the waiter's loop has ended, the slot goes to the next one.
        return waiter.wake() is not False or not self._take_back(waiter)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A slot for the duration of an `async with`."""
        if not self.try_enter():
            await self.enter()
        entered = self._clock()
        try:
            yield
        finally:
            self.leave(self._clock() - entered)

    @contextmanager
    def place_blocking(self, timeout_s: float | None = None) -> Iterator[None]:
        """A slot for the duration of a `with`."""
        if not self.try_enter():
            self.enter_blocking(timeout_s)
        entered = self._clock()
        try:
            yield
        finally:
            self.leave(self._clock() - entered)

    def estimate_wait_s(self) -> float:
        """How long a new caller would wait, in seconds; at least SHORTEST_RETRY_S."""
        ahead = len(self._waiters) + 1
        return max(SHORTEST_RETRY_S, self._mean_held_s * ahead / self.max_running)

    def stats(self) -> AdmissionStats:
        """A snapshot."""
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
        """A waiter in line, or None if a slot came free in the meantime."""
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
        """Leave the line; a slot granted in the meantime goes to the next waiter."""
        if self._take_back(waiter):
            self.leave()

    def _take_back(self, waiter: _Waiter) -> bool:
        """Whether a slot had been granted; True for one caller only, so it is passed on once."""
        with self._guard:
            granted, waiter.granted = waiter.granted, False
            if not granted and waiter in self._waiters:
                self._waiters.remove(waiter)
        return granted
