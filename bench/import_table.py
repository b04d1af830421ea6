"""What `import xwe` costs, and what a worker weighs before it has work to do."""

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

from processes import environment, family, resident_mb, upstream
from scale import Scale
from table import Goal, Table, figure, verdicts
from web_servers import SHARED_OPENAI, XWE, running

BARE = "(bare interpreter)"
STATEMENTS = {
    BARE: "pass",
    "import xwe": "import xwe",
    "from xwe import LLMClient": "from xwe import LLMClient",
    "import openai": "import openai",
    "import litellm": "import litellm",
}
IMPORT_GOAL, WORKER_GOAL = Goal(50, "ms", 0), Goal(90, "MB", 0)


def import_tables(scale: Scale) -> list[Table]:
    return [_imports(scale), _idle_workers()]


def _imports(scale: Scale) -> Table:
    spent = {name: [] for name in STATEMENTS}
    for statement in STATEMENTS.values():
        _import_once(statement)  # leaves compiled files and warm file caches behind
    for _ in range(scale.imports):
        for name, statement in STATEMENTS.items():
            spent[name].append(_import_once(statement))
    wall_ms = {name: 1000 * median(wall for wall, _ in runs) for name, runs in spent.items()}
    cpu_ms = {name: 1000 * median(cpu for _, cpu in runs) for name, runs in spent.items()}
    table = Table(
        "Import",
        ("statement", "wall, ms", "CPU, ms", "goal"),
        intro=(
            f"Median of {scale.imports} fresh processes with warm files, less a bare interpreter "
            f"({wall_ms[BARE]:.0f} ms wall, {cpu_ms[BARE]:.0f} ms CPU)."
        ),
    )
    for name in STATEMENTS:
        if name != BARE:
            wall = wall_ms[name] - wall_ms[BARE]
            table.add(
                f"**{name}**" if "xwe" in name else name,
                figure(wall, 0),
                figure(cpu_ms[name] - cpu_ms[BARE], 0),
                verdicts((IMPORT_GOAL if name == "import xwe" else None, wall)),
            )
    return table


def _import_once(statement: str) -> tuple[float, float]:
    """Wall and CPU time of a fresh interpreter, in seconds."""
    with tempfile.TemporaryDirectory() as elsewhere:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", statement], env=environment(), cwd=elsewhere
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, statement
    return wall_s, used.ru_utime + used.ru_stime


def _idle_workers() -> Table:
    table = Table(
        "An idle worker",
        ("server", "resident memory, MB", "goal"),
        intro="After its first request; gunicorn's arbiter not counted.",
    )
    with upstream() as model:
        for server in (XWE, SHARED_OPENAI):
            with running(server, model) as subject:
                memory_mb = resident_mb(family(subject.pid)[-1])
            table.add(
                f"**{server.name}**" if server is XWE else server.name,
                figure(memory_mb, 0),
                verdicts((WORKER_GOAL if server is XWE else None, memory_mb)),
            )
    return table
