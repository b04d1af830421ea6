import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xwe.web.server.core_keeper import FREE_THREADS, CoreKeeper, better_core, core_times


@pytest.mark.parametrize(
    ("others", "current", "expected"),
    [
        ({0: 0.0, 1: 0.0}, 1, 1),
        ({0: 0.2, 1: 0.0}, 0, 0),
        ({0: 0.9, 1: 0.0}, 0, 1),
        ({0: 0.9, 1: 0.8}, 0, 0),
        ({0: 0.5, 1: 0.1, 2: 0.0}, 0, 2),
        ({0: 0.0, 1: 0.5, 2: 0.0}, 1, 0),
    ],
)
def test_a_worker_moves_only_when_it_is_worth_it(
    others: dict[int, float], current: int, expected: int
) -> None:
    assert better_core(others, current) == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_all_threads_but_the_free_ones_are_pinned_to_one_core() -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("there is only one core")
    done, ids = threading.Event(), {}

    def wait() -> None:
        ids[threading.current_thread().name] = threading.get_native_id()
        started.release()
        done.wait(60)

    started = threading.Semaphore(0)
    threads = [threading.Thread(target=wait, name=name) for name in ("held", f"{FREE_THREADS}-1")]
    for thread in threads:
        thread.start()
        started.acquire(timeout=60)
    keeper = CoreKeeper(1)
    try:
        keeper.pin()
        assert os.sched_getaffinity(ids["held"]) == {sorted(before)[1 % len(before)]}
        assert os.sched_getaffinity(ids[f"{FREE_THREADS}-1"]) == before
    finally:
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # another test's, which has just ended
                os.sched_setaffinity(int(task.name), before)
        done.set()
        for thread in threads:
            thread.join(60)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_every_usable_core_has_its_time() -> None:
    cores = os.sched_getaffinity(0)
    times = core_times(cores)
    assert set(times) == cores
    assert all(seconds > 0 for seconds in times.values())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_the_child_of_a_fork_is_pinned_and_its_parent_is_not() -> None:
    script = (
        "import os\n"
        "from xwe.web.server.core_keeper import CoreKeeper\n"
        "before = len(os.sched_getaffinity(0))\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    CoreKeeper(0).start()\n"
        "    os._exit(len(os.sched_getaffinity(0)) != 1)\n"
        "held = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "print(held, len(os.sched_getaffinity(0)) == before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["True", "True"]
