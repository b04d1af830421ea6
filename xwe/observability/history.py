"""The last minutes in steps of a few seconds, so that a newly opened page has a past to show.

Durations are counted in cells, each 5 % wider than the one before. The counts add up over time and
processes, and a percentile taken from them is off by 2.5 % at most, whatever its size.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from xwe.core.nlp.observation import CallRecord
from xwe.observability.vitals import Vitals

STEP_S = 5
STEPS = 60

CELL_RATIO = 1.05
SHORTEST_S = 0.0001

_PER_LOG = 1 / math.log(CELL_RATIO)

DurationCounts = dict[int, int]
"""How many durations fell into each cell; empty cells are left out."""


def cell_of(duration_s: float) -> int:
    """The cell of a duration in seconds."""
    return round(math.log(max(duration_s, SHORTEST_S)) * _PER_LOG)


def add_counts(into: DurationCounts, more: Mapping[int, int]) -> None:
    """Add the counts of another time or process."""
    for cell, count in more.items():
        into[cell] = into.get(cell, 0) + count


def percentile_s(counts: Mapping[int, int], share: float) -> float | None:
    """The duration in seconds that `share` (0 to 1) of all stay within; None without any."""
    rank = math.ceil(share * sum(counts.values()))
    for cell in sorted(counts):
        rank -= counts[cell]
        if rank <= 0:
            return float(f"{CELL_RATIO**cell:.3g}")
    return None


@dataclass(slots=True)
class Step:
    """What happened in STEP_S seconds.

    Attributes:
        at: its start, in seconds since the epoch; a multiple of STEP_S, so that the steps of
            several processes line up.
        requests: HTTP requests answered.
        calls: model calls that ended.
        cached: calls answered with another call's answer.
        failures: failed calls by error code.
        first_token: times to a stream's first piece.
        total: durations of calls that reached the provider.
        in_flight: the most calls seen running at once.
        waiting: the most calls seen waiting for a slot.
        threads_busy: the most requests seen holding a thread.
        loop_lag_s: the event loop's highest lag.
        cpu_s: processor time of the process.
        watched_s: how much of the step `cpu_s` covers.
    """

    at: int
    requests: int = 0
    calls: int = 0
    cached: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    first_token: DurationCounts = field(default_factory=dict)
    total: DurationCounts = field(default_factory=dict)
    in_flight: int = 0
    waiting: int = 0
    threads_busy: int = 0
    loop_lag_s: float = 0.0
    cpu_s: float = 0.0
    watched_s: float = 0.0

    def merge(self, other: "Step") -> None:
        """Add the same seconds of another process."""
        for code, count in other.failures.items():
            self.failures[code] = self.failures.get(code, 0) + count
        add_counts(self.first_token, other.first_token)
        add_counts(self.total, other.total)
        self.loop_lag_s = max(self.loop_lag_s, other.loop_lag_s)
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def note_vitals(self, vitals: Vitals, cpu_s: float, watched_s: float) -> None:
        """Update the maxima, and add the processor time since the last check."""
        self.in_flight = max(self.in_flight, vitals.in_flight)
        self.waiting = max(self.waiting, vitals.waiting)
        self.threads_busy = max(self.threads_busy, vitals.threads_busy)
        self.loop_lag_s = max(self.loop_lag_s, vitals.loop_lag_s)
        self.cpu_s += cpu_s
        self.watched_s += watched_s

    def as_row(self) -> dict[str, Any]:
        """The step for JSON; `from_row` reads it."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in _MAPPINGS:
            row[name] = dict(row[name])
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Step":
        """The reverse of `as_row`."""
        step = cls(**row)
        step.first_token = {int(cell): count for cell, count in step.first_token.items()}
        step.total = {int(cell): count for cell, count in step.total.items()}
        return step


_MAPPINGS = ("failures", "first_token", "total")
_SUMMED = (
    *("requests", "calls", "cached", "in_flight", "waiting", "threads_busy", "cpu_s", "watched_s"),
)


class History:
    """The last STEPS steps in which something happened. Not thread-safe: its owner holds a lock.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._steps: deque[Step] = deque(maxlen=STEPS)

    def now(self) -> Step:
        """The current step."""
        steps = self._steps
        at = int(self._clock()) // STEP_S * STEP_S
        # When the clock is set back, the newest step goes on.
        if not steps or steps[-1].at < at:
            steps.append(Step(at))
        return steps[-1]

    def record_call(self, record: CallRecord) -> None:
        """Count one model call."""
        step, timings = self.now(), record.timings
        step.calls += 1
        if record.outcome not in {"ok", "cancelled"}:
            step.failures[record.outcome] = step.failures.get(record.outcome, 0) + 1
        if timings.attempts:
            cell = cell_of(timings.total_s)
            step.total[cell] = step.total.get(cell, 0) + 1
        elif record.outcome == "ok":
            step.cached += 1
        if timings.first_token_s is not None:
            cell = cell_of(timings.first_token_s)
            step.first_token[cell] = step.first_token.get(cell, 0) + 1

    def as_rows(self) -> list[dict[str, Any]]:
        """The steps of the last minutes, oldest first; see `Step.as_row`."""
        oldest = self.now().at - (STEPS - 1) * STEP_S
        return [step.as_row() for step in self._steps if step.at >= oldest]
