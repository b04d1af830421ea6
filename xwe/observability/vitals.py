"""How one worker is doing right now."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xwe.core.concurrency.loop_thread import get_loop_thread


@dataclass(frozen=True, slots=True)
class Vitals:
    """A worker at one moment.

    Attributes:
        in_flight: model calls running, on the loop and in the pool's threads.
        waiting: model calls waiting for a slot.
        refused: model calls refused because every slot was taken, since the start.
        pool: the thread pool, once it is in use: threads, running, waiting, limits.
        breaker: "closed", "open" or "half_open".
        retries_left: retries left in the quota that stops retry storms.
        loop_lag_s: how late the event loop was at the last check.
        threads_busy: requests holding a thread.
        busy_share: share of the last second or so that the process spent on a processor.
        cpu_s: processor time since the process started.
    """

    in_flight: int
    waiting: int
    refused: int
    pool: Mapping[str, Any] | None
    breaker: str
    retries_left: float
    loop_lag_s: float
    threads_busy: int
    busy_share: float
    cpu_s: float

    def as_row(self) -> dict[str, Any]:
        """The vitals for JSON; `Vitals(**row)` reads them."""
        return asdict(self)


class BusyMeter:
    """Measures how much of the time the process spends on a processor.

    Args:
        clock: seconds, monotonic.
        cpu_clock: processor time of the process, in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock, self._cpu_clock = clock, cpu_clock
        self._read_at, self._cpu_s = clock(), cpu_clock()

    def read(self) -> tuple[float, float]:
        """Processor seconds and seconds since the previous reading."""
        now, cpu_s = self._clock(), self._cpu_clock()
        spent = cpu_s - self._cpu_s, now - self._read_at
        self._read_at, self._cpu_s = now, cpu_s
        return spent


def read_vitals(client: Mapping[str, Any], *, threads_busy: int, busy_share: float) -> Vitals:
    """The vitals of this process; `client` is the result of `LLMClient.stats()`."""
    slots, pool = client["admission"] or {}, client["executor"] or {}
    return Vitals(
        in_flight=slots.get("running", 0) + pool.get("running", 0),
        waiting=slots.get("waiting", 0) + pool.get("waiting", 0),
        refused=slots.get("refused", 0) + pool.get("refused", 0),
        pool=pool or None,
        breaker=client["breaker"],
        retries_left=client["retries_left"],
        loop_lag_s=get_loop_thread().lag_s,
        threads_busy=threads_busy,
        busy_share=busy_share,
        cpu_s=time.process_time(),
    )
