"""Percentiles of many durations from a few numbers that add up over time and processes.

Durations are counted in cells that each reach 5 % further than the one before, so a percentile is
off by 2.5 % at most, whatever its size.
"""

import math
from collections.abc import Mapping

CELL_RATIO = 1.05
SHORTEST_S = 0.0001

_PER_LOG = 1 / math.log(CELL_RATIO)

DurationCounts = dict[int, int]
"""How many durations fell into each cell; cells that are empty are left out."""


def cell_of(duration_s: float) -> int:
    """The cell of a duration in seconds."""
    return round(math.log(max(duration_s, SHORTEST_S)) * _PER_LOG)


def add_counts(into: DurationCounts, more: Mapping[int, int]) -> None:
    """Add the counts of another time or process."""
    for cell, count in more.items():
        into[cell] = into.get(cell, 0) + count


def percentile_s(counts: Mapping[int, int], share: float) -> float | None:
    """The duration that `share` (0 to 1) of all do not exceed, in seconds; None without any."""
    rank = math.ceil(share * sum(counts.values()))
    for cell in sorted(counts):
        rank -= counts[cell]
        if rank <= 0:
            return float(f"{CELL_RATIO**cell:.3g}")
    return None
