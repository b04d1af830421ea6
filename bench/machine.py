"""Where and with what the figures were made, and who else was at work meanwhile."""

import os
import platform
import resource
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from processes import CORES, HARNESS_CORES

PACKAGES = (
    *("xwe", "aiohttp", "requests", "openai", "litellm", "uvloop", "orjson"),
    *("flask", "gunicorn", "fastapi", "uvicorn"),
)


def facts() -> dict[str, str]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{len(CORES)} cores, {_cpu_model()}, {_memory_gb():.1f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def core_of_the_harness() -> str:
    names = ", ".join(map(str, HARNESS_CORES))
    return f"core {names}" if len(CORES) > 1 else "the only core"


class Bystanders:
    """How much of the machine others used while the benchmark ran."""

    def __init__(self) -> None:
        self._busy_s, self._whole_s = _machine_s()
        self._own_s = _own_s()

    def share(self) -> float:
        """0 to 1: of all cores' time since the start."""
        busy_s, whole_s = _machine_s()
        others_s = busy_s - self._busy_s - (_own_s() - self._own_s)
        return max(0.0, others_s / (whole_s - self._whole_s))


def _machine_s() -> tuple[float, float]:
    """(Busy, whole) time of all cores; what a host took away counts as busy."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, idle, waiting, irq, softirq, stolen = (
        int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in first
    )
    busy_s = user + nice + system + irq + softirq + stolen
    return busy_s, busy_s + idle + waiting


def _own_s() -> float:
    """Of this process and of the children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
