"""Keeps a worker's threads together on one core, and moves them when that core is wanted elsewhere.

Only one thread of a Python process runs Python code at a time. Spread over the cores, a thousand
threads spend more on handing the interpreter's lock from one core to the next than on their work:
with 1,000 users a request costs a quarter less CPU, and the kernel's part of it less than half,
when they stay together (bench/RESULTS.md). A core chosen once and for all would be the wrong one
as soon as another process needs it, so the choice is looked at again every second.

Threads that work without the interpreter's lock, as password hashing does, are better off on all
cores: those whose names begin with FREE_THREADS are left alone.
"""

import os
import sys
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

LOOK_EVERY_S = 1.0
# Others may take this share of our core before we look for a better one, and the better one has to
# be better by as much: a worker that moved for less would never rest.
WORTH_A_MOVE = 0.25

FREE_THREADS = "xwe-free"

# Each thread that waits for the interpreter's lock wakes up this often to ask for it. On one core
# a thousand of them, at Python's 5 ms, took more of it than the requests did.
SWITCH_INTERVAL_S = 0.05

_STAT = Path("/proc/stat")
_THREADS = Path("/proc/self/task")
_IDLE_FIELDS = slice(3, 5)  # idle and iowait


def better_core(others: Mapping[int, float], current: int) -> int:
    """The core to be on.

    Args:
        others: for each core that may be used, the share of it (0 to 1) that others took.
        current: the core to stay on when no other is clearly better.
    """
    idlest = min(others, key=lambda core: (others[core], core != current))
    here = others[current]
    worth_it = here > WORTH_A_MOVE and here - others[idlest] > WORTH_A_MOVE
    return idlest if worth_it else current


class CoreKeeper:
    """Holds this process on one of the cores it may use; started once, in a worker.

    Where there is only one core, or the system is not Linux, nothing is held.

    Args:
        number: the worker's; neighbours begin on different cores.
    """

    def __init__(self, number: int) -> None:
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._usable = usable if _STAT.exists() else []
        self._core = usable[number % len(usable)] if usable else 0
        self._ended = threading.Event()

    def start(self) -> None:
        """Hold on from now on, in a thread of its own."""
        if len(self._usable) > 1:
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            self._hold()
            threading.Thread(target=self._keep, name="xwe-core-keeper", daemon=True).start()

    def stop(self) -> None:
        """Look no more; the threads stay where they are."""
        self._ended.set()

    def _keep(self) -> None:
        busy, own_s, at = core_times(self._usable), time.process_time(), time.monotonic()
        while not self._ended.wait(LOOK_EVERY_S):
            busy_now, own_now_s, now = (
                core_times(self._usable),
                time.process_time(),
                time.monotonic(),
            )
            passed_s = now - at
            others = {core: (busy_now[core] - busy[core]) / passed_s for core in self._usable}
            others[self._core] = max(0.0, others[self._core] - (own_now_s - own_s) / passed_s)
            busy, own_s, at = busy_now, own_now_s, now
            core = better_core(others, self._core)
            if core != self._core:
                self._core = core
                self._hold()

    def _hold(self) -> None:
        threads = threading.enumerate()
        free = {t.native_id for t in threads if t.name.startswith(FREE_THREADS)}
        # Not by their native_id: the main thread's is still the parent's after a fork.
        for task in _THREADS.iterdir():
            thread_id = int(task.name)
            if thread_id not in free:
                try:
                    os.sched_setaffinity(thread_id, {self._core})
                except OSError:  # it has just ended, or the core was taken from us meanwhile
                    continue


def core_times(cores: Collection[int]) -> dict[int, float]:
    """For each core the seconds since the system's start that it was not idle."""
    ticks_a_second = os.sysconf("SC_CLK_TCK")
    times = {}
    for line in _STAT.read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in cores:
            ticks = [int(field) for field in fields[:8]]
            times[int(name[3:])] = (sum(ticks) - sum(ticks[_IDLE_FIELDS])) / ticks_a_second
    return times
