"""Streams through a web server: many at the same instant, each written as the model speaks."""

from dataclasses import dataclass
from typing import Any

from processes import Upstream, cpu_s, peak_mb, run_json, upstream
from scale import Scale
from table import NONE, Goal, Table, figure, verdicts
from web_servers import RELAY, SHARED_OPENAI_STREAM, XWE_STREAM, RunningServer, running

MODEL_LATENCY_MS = 1000
PIECES = 100
INTERVAL_MS = 20
LIMIT_S = 90
MOST_STREAMS = 1000
SERVERS = (SHARED_OPENAI_STREAM, RELAY, XWE_STREAM)

MEDIAN_GOAL, P99_GOAL, CPU_GOAL = Goal(3.6, "s", 1), Goal(4.5, "s", 1), Goal(45, "µs", 0)

COLUMNS = (
    *("server", "streams", "median, s", "p99, s", "CPU a piece, µs"),
    *("memory, MB", "failed", "goal"),
)


@dataclass(frozen=True)
class Measured:
    """So many streams through one server.

    Attributes:
        load: the generator's summary.
        server_cpu_s: what the server used for them, its children included.
        memory_mb: the worker's most, so far.
        busy: how much of the harness's core its two processes took while it ran, 0 to 1.
    """

    load: dict[str, Any]
    server_cpu_s: float
    memory_mb: float
    busy: float

    @property
    def cpu_us(self) -> float | None:
        whole = self.load["whole"]
        return 1e6 * self.server_cpu_s / (PIECES * whole) if whole else None

    @property
    def failures(self) -> int:
        return sum(self.load["faults"].values())


class StreamBench:
    """Runs the servers one after another and fills the table."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._most_busy = 0.0
        self._faults: list[str] = []
        self.table = Table(
            "Streaming through a web server",
            COLUMNS,
            intro=(
                f"One worker. The model takes {MODEL_LATENCY_MS // 1000} s and then says {PIECES} "
                f"pieces, one every {INTERVAL_MS} ms. Every reader connects and asks once, all at "
                "the same instant, and reads its stream to the end; one whose text is not whole "
                "has failed. CPU is the server's, arbiter included, for each piece; memory is the "
                "most that the worker had until then."
            ),
        )

    def run(self) -> None:
        with upstream(latency_ms=MODEL_LATENCY_MS, pieces=PIECES, interval_ms=INTERVAL_MS) as model:
            for streams in self._scale.streams:
                self._straight_to_the_model(model, streams)
            for server in SERVERS:
                with running(server, model) as subject:
                    for streams in self._scale.streams:
                        self._add(subject, model, streams)
        self.table.notes.append(
            "The load generator and the model server together used at most "
            f"{self._most_busy:.0%} of their core."
        )
        if self._faults:
            self.table.notes.append("Failed: " + " ".join(self._faults))

    def _straight_to_the_model(self, model: Upstream, streams: int) -> None:
        load, _ = self._generate(model, model.port, "/v1/chat/completions", streams)
        failures = sum(load["faults"].values())
        self.table.add(
            "(none: straight to the model server)",
            f"{streams:,}",
            *(figure(load[name]) for name in ("median_s", "p99_s")),
            *(NONE, NONE, str(failures), NONE),
        )

    def _add(self, subject: RunningServer, model: Upstream, streams: int) -> None:
        measured = self._measure(subject, model, streams)
        server, load = subject.server, measured.load
        if measured.failures:
            self._faults.append(f"{server.name}, {streams}: {load['faults']}.")
        is_ours, cpu_us = server is XWE_STREAM, measured.cpu_us
        goals = [
            (MEDIAN_GOAL, load["median_s"]),
            (P99_GOAL, load["p99_s"]),
            (CPU_GOAL, cpu_us),
        ]
        if measured.failures:  # a goal is not met by cutting somebody short
            goals = [(goal, None) for goal, _ in goals]
        self.table.add(
            f"**{server.name}**" if is_ours else server.name,
            f"{streams:,}",
            figure(load["median_s"]),
            figure(load["p99_s"]),
            figure(cpu_us, 0),
            figure(measured.memory_mb, 0),
            str(measured.failures),
            verdicts(*goals) if is_ours and streams == MOST_STREAMS else NONE,
        )

    def _measure(self, subject: RunningServer, model: Upstream, streams: int) -> Measured:
        used = cpu_s(subject.pid)
        load, busy = self._generate(model, subject.port, subject.server.path, streams)
        return Measured(load, cpu_s(subject.pid) - used, peak_mb(subject.pid), busy)

    def _generate(
        self, model: Upstream, port: int, path: str, streams: int
    ) -> tuple[dict[str, Any], float]:
        used = cpu_s(model.pid)
        arguments = ["--streams", str(streams), "--pieces", str(PIECES), "--limit", str(LIMIT_S)]
        load = run_json("stream_load.py", str(port), path, *arguments)
        harness_s = load["own_cpu_s"] + cpu_s(model.pid) - used
        busy = harness_s / (load["max_s"] or LIMIT_S)
        self._most_busy = max(self._most_busy, busy)
        return load, busy


def stream_tables(scale: Scale) -> list[Table]:
    bench = StreamBench(scale)
    bench.run()
    return [bench.table]
