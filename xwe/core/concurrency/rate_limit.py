"""A limit on calls per period, across all threads and loops of the process."""

import asyncio
import contextlib
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Generator
from typing import Self

# The first in line watches the clock for everybody behind it. If its loop has ended or hangs, the
# others check for themselves after this long.
STALLED_AFTER_S = 2.0


def _sleep_in_thread(woken: threading.Event, seconds: float) -> None:
    woken.wait(seconds)


async def _sleep_on_loop(woken: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()


class RateLimiter:
    """Lets at most `burst` through in any window of `period` seconds, first come, first served.

    Threads and coroutines of any loop wait in one line. The windows slide: one may begin at any
    moment. `async with` and `with` wait for a turn as long as it takes; `acquire` and
    `acquire_sync` accept a timeout.

    Args:
        calls: the long-run limit per period.
        period: in seconds.
        burst: the limit per window; `calls` by default. Above `calls`, the long-run rate stays
            `calls` per period, and a pause saves up for a burst. Below, the rate drops to
            `burst` per period.
        clock: seconds, monotonic.
        sleep: blocks a thread until the event is set or the seconds have passed.
        sleep_async: the same for a coroutine.

    Raises: ValueError when `calls` or `burst` is below 1 or `period` is not above 0.
    """

    def __init__(
        self,
        calls: int,
        period: float,
        burst: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[threading.Event, float], object] = _sleep_in_thread,
        sleep_async: Callable[[asyncio.Event, float], Awaitable[object]] = _sleep_on_loop,
    ) -> None:
        burst = calls if burst is None else burst
        if calls < 1 or burst < 1 or not 0 < period < math.inf:
            raise ValueError("calls and burst must be at least 1, and period above 0 s")
        self.calls = calls
        self.period = period
        self.burst = burst
        self._clock = clock
        self._sleep = sleep
        self._sleep_async = sleep_async
        # Re-entrant, since the garbage collector may close an abandoned `acquire` at any
        # allocation, even one made while this lock is held.
        self._guard = threading.RLock()
        self._window = _Window(calls, period, burst)
        self._line: OrderedDict[_Turn, None] = OrderedDict()
        # The window as it will be once the whole line has passed; None when it must be computed
        # again. It shows immediately whether a timeout can be met.
        self._forecast: _Window | None = None

    async def acquire(self, timeout: float | None = None, weight: int = 1) -> bool:  # noqa: ASYNC109 - the documents' signature; it can refuse beforehand
        """Wait for a turn; False when it does not come within `timeout` seconds.

        A timeout that cannot be met is refused immediately, without joining the line. A caller that
        is cancelled gives its turn back, and those behind it move up.

        Args:
            timeout: seconds; None waits as long as it takes, 0 not at all.
            weight: how many calls this one counts as (tokens, where tokens are limited).

        Raises:
            ValueError: the weight is below 1, or above `burst`, so it could never pass.
        """
        if self._passes_at_once(weight):
            return True
        woken = asyncio.Event()
        waiter = _Turn(weight, _wake_on_loop(asyncio.get_running_loop(), woken))
        with contextlib.closing(self._stand_in_line(waiter, timeout, woken)) as pauses:
            for pause_s in pauses:
                await self._sleep_async(woken, pause_s)
        return waiter.passed_at is not None

    def acquire_sync(self, timeout: float | None = None, weight: int = 1) -> bool:
        """The same for a thread, which blocks."""
        if self._passes_at_once(weight):
            return True
        woken = threading.Event()
        waiter = _Turn(weight, woken.set)
        with contextlib.closing(self._stand_in_line(waiter, timeout, woken)) as pauses:
            for pause_s in pauses:
                self._sleep(woken, pause_s)
        return waiter.passed_at is not None

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        self.acquire_sync()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def reset(self) -> None:
        """Forget what has passed; as many in line as a new window allows go immediately."""
        with self._guard:
            self._window = _Window(self.calls, self.period, self.burst)
            self._forecast = None
            self._let_pass(self._clock())

    def _passes_at_once(self, weight: int) -> bool:
        if not 1 <= weight <= self.burst:
            raise ValueError(f"weight={weight}: only 1 to {self.burst} (the burst) can pass")
        with self._guard:
            now = self._clock()
            if self._line or self._window.earliest(weight, now) > now:
                return False
            self._window.add(weight, now)
            self._forecast = None
            return True

    def _stand_in_line(
        self, waiter: "_Turn", timeout: float | None, woken: threading.Event | asyncio.Event
    ) -> Generator[float, None, None]:
        """The waiting of both twins: yields how long to sleep, and ends with a turn or a refusal.

        Closing it early gives the place in line, or the turn, back.
        """
        deadline = self._join(waiter, timeout)
        if deadline is None:
            return
        try:
            while (pause_s := self._check(waiter, deadline, woken)) > 0:
                yield pause_s
        except GeneratorExit:
            self._give_back(waiter)
            raise

    def _join(self, waiter: "_Turn", timeout: float | None) -> float | None:
        """Join the line and return the deadline; None when it cannot be met."""
        with self._guard:
            now = self._clock()
            deadline = math.inf if timeout is None else now + timeout
            if timeout is not None and self._forecast is None:
                self._forecast = self._window.after(self._line, now)
            if self._forecast is not None:
                turn_at = self._forecast.earliest(waiter.weight, now)
                if turn_at > deadline:
                    return None
                self._forecast.add(waiter.weight, turn_at)
            self._line[waiter] = None
            return deadline

    def _check(
        self, waiter: "_Turn", deadline: float, woken: threading.Event | asyncio.Event
    ) -> float:
        """Let the line move; the seconds until the next check, 0 when this waiter is done."""
        woken.clear()
        with self._guard:
            now = self._clock()
            self._let_pass(now)
            if waiter.passed_at is not None:
                return 0.0
            if now >= deadline:
                self._give_back(waiter)
                return 0.0
            first = next(iter(self._line))
            turn_at = self._window.earliest(first.weight, now)
            if first is not waiter:
                turn_at += STALLED_AFTER_S
            return min(turn_at, deadline) - now

    def _let_pass(self, now: float) -> None:
        """Let waiters pass while the window allows it; the next one then watches the clock."""
        has_passed = False
        while self._line:
            first = next(iter(self._line))
            if self._window.earliest(first.weight, now) > now:
                if has_passed:
                    first.wake()
                return
            has_passed = True
            del self._line[first]
            self._window.add(first.weight, now)
            self._forecast = None
            first.passed_at = now
            first.wake()

    def _give_back(self, waiter: "_Turn") -> None:
        """Give up a place in line, or a turn that came too late for its owner."""
        with self._guard:
            self._forecast = None
            if waiter.passed_at is not None:
                self._window.remove(waiter.weight, waiter.passed_at, self._clock())
            else:
                self._line.pop(waiter, None)
            if self._line:  # it may be able to pass now
                next(iter(self._line)).wake()


class _Turn:
    """One caller's place in the line."""

    __slots__ = ("passed_at", "wake", "weight")

    def __init__(self, weight: int, wake: Callable[[], object]) -> None:
        self.weight = weight
        self.wake = wake
        self.passed_at: float | None = None


def _wake_on_loop(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and its waiter with it
            loop.call_soon_threadsafe(woken.set)

    return wake


class _Window:
    """What has passed, as pure values: no clock and no lock. Times never run backwards.

    Two rules apply. At most `burst` per window: a log of the last period. And `calls` per period
    in the long run: the moment when a bucket of `burst`, refilled steadily, is full again (the
    generic cell rate algorithm, ITU-T I.371). The second matters only when `burst` exceeds `calls`.
    """

    def __init__(self, calls: int, period_s: float, burst: int) -> None:
        self._calls = calls
        self._period_s = period_s
        self._burst = burst
        self._refill_s = period_s / calls  # of a weight of 1
        self._log: deque[tuple[float, int]] = deque()
        self._in_log = 0
        self._full_at = -math.inf

    def earliest(self, weight: int, now: float) -> float:
        """The earliest time, `now` or later, at which `weight` may pass."""
        at = now
        while self._log and self._log[0][0] + self._period_s <= at:
            self._in_log -= self._log.popleft()[1]
        too_many = self._in_log + weight - self._burst
        for passed_at, passed in self._log:
            if too_many <= 0:
                break
            too_many -= passed
            at = passed_at + self._period_s
        if self._burst > self._calls:
            at = max(at, self._full_at - (self._burst - weight) * self._refill_s)
        return at

    def add(self, weight: int, at: float) -> None:
        """Record that `weight` passed at a time that `earliest` allowed."""
        self._log.append((at, weight))
        self._in_log += weight
        self._full_at = max(at, self._full_at) + weight * self._refill_s

    def remove(self, weight: int, at: float, now: float) -> None:
        """Undo an `add`, at the time `now`."""
        try:
            self._log.remove((at, weight))
        except ValueError:  # more than a period ago, or before a reset
            return
        self._in_log -= weight
        # A bucket that had filled up in the meantime would have overflowed: less returns.
        self._full_at -= max(0.0, weight * self._refill_s - (now - at))

    def after(self, line: "OrderedDict[_Turn, None]", now: float) -> "_Window":
        """A copy in which the whole line has passed as early as possible."""
        window = _Window(self._calls, self._period_s, self._burst)
        window._log = self._log.copy()
        window._in_log = self._in_log
        window._full_at = self._full_at
        for waiter in line:
            window.add(waiter.weight, window.earliest(waiter.weight, now))
        return window
