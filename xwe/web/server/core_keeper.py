"""Keeps a worker's threads on one core, and moves them when another process needs that core.

Only one thread of a Python process runs Python code at a time. Spread over several cores, a
thousand threads spend more time passing the interpreter's lock between cores than working. With
1,000 users, staying on one core makes a request cost a quarter less CPU, and less than half as much
of it in the kernel (bench/RESULTS.md). A core chosen once and for all would be the wrong one as
soon as another process needs it, so the choice is checked every second.

Threads that work without the interpreter's lock, such as those that hash passwords, should use all
cores. Threads whose names begin with FREE_THREADS are left alone.
"""

import os
import sys
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

CHECK_EVERY_S = 1.0
# Others may use this share of our core before we look for a better one, which has to be better by
# as much. A worker that moved for less would keep moving.
WORTH_A_MOVE = 0.25

FREE_THREADS = "xwe-free"

# Each thread waiting for the interpreter's lock wakes up this often to ask for it. With Python's
# default of 5 ms, a thousand of them used more of a core than the requests did.
SWITCH_INTERVAL_S = 0.05

_STAT = Path("/proc/stat")
_THREADS = Path("/proc/self/task")
_IDLE_FIELDS = slice(3, 5)  # idle and iowait


def better_core(others: Mapping[int, float], current: int) -> int:
    """The core to use.

    Args:
        others: for each usable core, the share of it (0 to 1) that other processes used.
        current: the core to stay on unless another is clearly better.
    """
    idlest = min(others, key=lambda core: (others[core], core != current))
    here = others[current]
    worth_it = here > WORTH_A_MOVE and here - others[idlest] > WORTH_A_MOVE
    return idlest if worth_it else current


class CoreKeeper:
    """Keeps this process on one of the cores it may use. Started once in each worker.

    With a single core, or on another system than Linux, it does nothing.

    Args:
        number: the worker's number, so that neighbours start on different cores.
    """

    def __init__(self, number: int) -> None:
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._usable = usable if _STAT.exists() else []
        self._core = usable[number % len(usable)] if usable else 0
        self._ended = threading.Event()

    def start(self) -> None:
        """Pin the threads now, and keep checking in a background thread."""
        if len(self._usable) > 1:
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            self.pin()
            threading.Thread(target=self._run, name="xwe-core-keeper", daemon=True).start()

    def stop(self) -> None:
        """Stop checking; the threads stay where they are."""
        self._ended.set()

    def pin(self) -> None:
        """Move all threads but the free ones to the current core."""
        threads = threading.enumerate()
        free = {t.native_id for t in threads if t.name.startswith(FREE_THREADS)}
        # Not by native_id: after a fork, the main thread's is still the parent's.
        for task in _THREADS.iterdir():
            thread_id = int(task.name)
            if thread_id not in free:
                try:
                    os.sched_setaffinity(thread_id, {self._core})
                except OSError:  # it has just ended, or the core is no longer ours
                    continue

    def _run(self) -> None:
        busy, own_s, at = core_times(self._usable), time.process_time(), time.monotonic()
        while not self._ended.wait(CHECK_EVERY_S):
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
                self.pin()


def core_times(cores: Collection[int]) -> dict[int, float]:
    """For each core, how many seconds it has been busy since the system started."""
    ticks_a_second = os.sysconf("SC_CLK_TCK")
    times = {}
    for line in _STAT.read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in cores:
            ticks = [int(field) for field in fields[:8]]
            times[int(name[3:])] = (sum(ticks) - sum(ticks[_IDLE_FIELDS])) / ticks_a_second
    return times
