"""The processes of a benchmark: started, watched and ended, each by its own id."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
GENERATORS = {"load.py", "stream_load.py", "turns_load.py"}
START_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0

CORES = sorted(os.sched_getaffinity(0))
# The model server and the load generator share one core and leave the others alone; what is
# measured may use all of them, as it may where it is deployed.
HARNESS_CORES = CORES[-1:]


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child: none of the caller's keys, proxies or settings, but `variables`.

    LiteLLM is told to use the price list that it brings along: no benchmark leaves the machine.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"} | variables


def run_json(
    script: str, *arguments: str, env: Mapping[str, str] | None = None, limit_s: float = 300
) -> dict:
    """The JSON object that a script of this folder prints last; it must succeed."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
        preexec_fn=_to_harness_core if script in GENERATORS else None,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _to_harness_core() -> None:
    os.sched_setaffinity(0, HARNESS_CORES)


@contextmanager
def upstream(
    *,
    latency_ms: float = 0,
    pieces: int = 100,
    interval_ms: float = 0,
    turn: tuple[int, int, int] | None = None,
) -> Iterator["Upstream"]:
    """A model server of one's own."""
    arguments = ["--latency-ms", f"{latency_ms:g}", "--pieces", str(pieces)]
    arguments += ["--interval-ms", f"{interval_ms:g}"]
    if turn is not None:
        arguments += ["--turn", *map(str, turn)]
    process = subprocess.Popen(
        [sys.executable, str(HERE / "upstream.py"), *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_to_harness_core,  # noqa: PLW1509 - no threads here
    )
    try:
        yield Upstream(process.pid, int(process.stdout.readline()))
    finally:
        end(process)
        process.stdout.close()


class Upstream:
    """A running model server."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.endpoint = f"{self.base_url}/chat/completions"

    def counters(self) -> dict[str, int]:
        """{"requests", "pieces"} so far."""
        with urllib.request.urlopen(self.base_url, timeout=5) as reply:  # noqa: S310 - our own address
            return json.load(reply)


@contextmanager
def web_server(
    command: Sequence[str], port: int, probe: tuple[str, str], env: Mapping[str, str]
) -> Iterator[int]:
    """A web server's process id, from when it answers `probe`, a path and a JSON body, with 200."""
    with tempfile.TemporaryDirectory() as elsewhere, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=env,
            cwd=elsewhere,  # no .env, no instance folder of a developer's own
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_answered(process, port, probe, log)
            yield process.pid
        finally:
            end(process)


def _wait_until_answered(process, port: int, probe: tuple[str, str], log) -> None:
    path, body = probe
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body.encode(), {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=START_WITHIN_S) as reply:  # noqa: S310 - as above
                reply.read()
                return
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)  # nothing to await: it says nowhere that it listens
                continue
            log.seek(0)
            reason = error.read() if isinstance(error, urllib.error.HTTPError) else error
            raise RuntimeError(f"no answer from {path}: {reason}\n{log.read()[-3000:]}") from error


def end(process: subprocess.Popen) -> None:
    """Ask the process to end, and make it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def family(pid: int) -> list[int]:
    """The process and its descendants (gunicorn's worker is its arbiter's child)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int(_stat_fields(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def _stat_fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on: the name before it may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    """User and system time of the process and its descendants, all threads, in seconds.

    By the kernel's CPU clock of each process: /proc/PID/stat counts in hundredths of a second,
    which is the cost of ten requests.
    """
    return sum(time.clock_gettime(_cpu_clock(member)) for member in family(pid))


def _cpu_clock(pid: int) -> int:
    """The clock that clock_getcpuclockid(3) gives for another process; Python does not have it."""
    return (~pid << 3) | 2


def resident_mb(pid: int) -> float:
    """Resident memory of the process, in MB."""
    return _memory_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most memory that the largest of the process and its descendants ever had, in MB."""
    return max(_memory_mb(member, "VmHWM") for member in family(pid))


def _memory_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"the kernel does not say {name}")
