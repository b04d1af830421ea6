"""A whole request through a web server: everybody at the same instant, and in steady state."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from processes import Upstream, cpu_s, run_json, upstream
from scale import Scale
from table import NONE, Goal, Table, figure, verdicts
from web_servers import (
    DOCUMENTS,
    EMPTY_VIEW,
    OPENAI_PER_REQUEST,
    SHARED_OPENAI,
    XWE,
    RunningServer,
    WebServer,
    running,
)

MODEL_LATENCY_MS = 1000
LIMIT_S = 60
# A burst that takes longer is not repeated.
SLOW_BURST_S = 10
# Users at once -> the warm-up in seconds, in which the slowest peer's first round is over, and how
# many times longer than with few users this loop is: it has to see several rounds.
LOOPS = {10: (2.0, 1.0), 100: (4.0, 1.0), 500: (5.0, 1.5), 1000: (6.0, 2.0)}
FLOOR_USERS = 64
FEWEST_USERS, MOST_USERS = 10, 1000

Goals = list[tuple[Goal, float | None]]

MEDIAN_GOAL, P99_GOAL, CPU_GOAL = Goal(1.10, "s"), Goal(1.5, "s", 1), Goal(1.4, "ms", 1)
TEN_USERS_GOAL, GROWTH_GOAL = Goal(1.1, "s", 1), Goal(1.3, "×", 1)


@dataclass(frozen=True)
class Measured:
    """One load on one server: the generator's summary and what the server used for it."""

    load: dict[str, Any]
    server_cpu_s: float
    model_requests: int

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.server_cpu_s / max(1, self.load["answered"])

    @property
    def failures(self) -> int:
        return self.load["not_200"] + sum(self.load["errors"].values()) + self.load["unanswered"]


class WebBench:
    """Runs the servers one after another and fills both tables."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._generator_cpu_s = 0.0
        self._answered = 0
        self._asked_again: list[str] = []
        self._xwe_cpu_ms: dict[int, float] = {}
        seconds = MODEL_LATENCY_MS // 1000
        several = f"the median of {scale.bursts} bursts (one, where it takes over {SLOW_BURST_S} s)"
        self.bursts = Table(
            "A web server, everybody at the same instant",
            ("server", "users", "median, s", "p99, s", "most, s", "CPU, ms", "failed", "goal"),
            intro=(
                f"One worker; the model takes {seconds} s. Every user connects and asks once, all "
                f"at the same instant; {'one burst' if scale.bursts == 1 else several}. CPU is "
                "the server's, arbiter included, for each request."
            ),
        )
        self.loops = Table(
            "A web server, steady state",
            ("server", "users", "median, s", "p99, s", "requests/s", "CPU, ms", "failed", "goal"),
            intro=(
                f"One worker; the model takes {seconds} s. Every user keeps one connection and "
                "asks again as soon as the answer is there. They start spread over 1 s; after a "
                "warm-up, every answer counts that comes within a window of "
                f"{scale.loop_s:g} s ({2 * scale.loop_s:g} s at {MOST_USERS:,} users)."
            ),
        )

    def run(self) -> None:
        with upstream(latency_ms=MODEL_LATENCY_MS) as model:
            model_started_s = cpu_s(model.pid)
            self._straight_to_the_model(model)
            for server in (DOCUMENTS, OPENAI_PER_REQUEST, SHARED_OPENAI, XWE):
                with running(server, model) as subject:
                    self._load(subject, model)
            self._empty_view(model)
            model_us = 1e6 * (cpu_s(model.pid) - model_started_s) / model.counters()["requests"]
        self._conclude(model_us)

    def _load(self, subject: RunningServer, model: Upstream) -> None:
        server = subject.server
        for users in self._scale.users:
            if users <= server.burst_users:
                self._add_bursts(server, users, self._repeated_burst(subject, model, users))
        for users in self._scale.users:
            if users <= server.loop_users:
                loop = self._measure(subject, model, "loop", users)
                self._add_loop(server, users, loop)

    def _repeated_burst(
        self, subject: RunningServer, model: Upstream, users: int
    ) -> list[Measured]:
        bursts: list[Measured] = []
        while len(bursts) < self._scale.bursts:
            bursts.append(self._measure(subject, model, "burst", users))
            if (bursts[-1].load["max_s"] or LIMIT_S) > SLOW_BURST_S:
                break
        return bursts

    def _measure(self, subject: RunningServer, model: Upstream, mode: str, users: int) -> Measured:
        asked, used = model.counters()["requests"], cpu_s(subject.pid)
        load = self._generate(mode, subject.port, subject.server.path, users)
        measured = Measured(load, cpu_s(subject.pid) - used, model.counters()["requests"] - asked)
        if measured.model_requests != load["answered"] and not load["unanswered"]:
            self._asked_again.append(
                f"{subject.server.name}, {mode} of {users}: {load['answered']} answers, "
                f"{measured.model_requests} calls to the model."
            )
        return measured

    def _generate(self, mode: str, port: int, path: str, users: int) -> dict[str, Any]:
        arguments = [mode, str(port), path, "--users", str(users), "--limit", str(LIMIT_S)]
        if mode == "loop":
            warm_up_s, longer = LOOPS[users]
            seconds = longer * self._scale.loop_s
            arguments += ["--warm-up", str(warm_up_s), "--seconds", str(seconds)]
        load = run_json("load.py", *arguments)
        self._generator_cpu_s += load["own_cpu_s"]
        self._answered += load["answered"]
        return load

    def _add_bursts(self, server: WebServer, users: int, bursts: list[Measured]) -> None:
        median_s, p99_s, most_s = (
            _median_of(bursts, name) for name in ("median_s", "p99_s", "max_s")
        )
        cpu_ms = median(burst.cpu_ms for burst in bursts)
        failures = sum(burst.failures for burst in bursts)
        goals: Goals = []
        if server is XWE and users == MOST_USERS:
            goals = [(MEDIAN_GOAL, median_s), (P99_GOAL, p99_s), (CPU_GOAL, cpu_ms)]
        elif server is XWE and users == FEWEST_USERS:
            goals = [(TEN_USERS_GOAL, most_s)]
        self.bursts.add(
            _name(server),
            f"{users:,}",
            figure(median_s),
            figure(p99_s),
            figure(most_s),
            figure(cpu_ms),
            str(failures),
            _verdicts(goals, failures),
        )

    def _add_loop(self, server: WebServer, users: int, loop: Measured) -> None:
        median_s, p99_s = loop.load["median_s"], loop.load["p99_s"]
        goals: Goals = []
        if server is XWE:
            self._xwe_cpu_ms[users] = loop.cpu_ms
            if users == MOST_USERS:
                goals = [(MEDIAN_GOAL, median_s), (P99_GOAL, p99_s), (CPU_GOAL, loop.cpu_ms)]
        self.loops.add(
            _name(server),
            f"{users:,}",
            figure(median_s),
            figure(p99_s),
            figure(loop.load["counted"] / (LOOPS[users][1] * self._scale.loop_s), 0),
            figure(loop.cpu_ms),
            str(loop.failures),
            _verdicts(goals, loop.failures),
        )

    def _straight_to_the_model(self, model: Upstream) -> None:
        """No web server between: what is left is the model's second and our own generator."""
        port, path = model.port, "/v1/chat/completions"
        users = MOST_USERS
        burst = self._generate("burst", port, path, users)
        self.bursts.add(
            "(none: straight to the model server)",
            f"{users:,}",
            *(figure(burst[name]) for name in ("median_s", "p99_s", "max_s")),
            *(NONE, "0", NONE),
        )

    def _empty_view(self, model: Upstream) -> None:
        with running(EMPTY_VIEW, model) as subject:
            used = cpu_s(subject.pid)
            arguments = ["--users", str(FLOOR_USERS), "--warm-up", "1"]
            arguments += ["--seconds", str(self._scale.loop_s)]
            load = run_json("load.py", "loop", str(subject.port), EMPTY_VIEW.path, *arguments)
            floor = Measured(load, cpu_s(subject.pid) - used, 0)
        self.loops.add(
            f"(the floor: {EMPTY_VIEW.name}, no model)",
            str(FLOOR_USERS),
            figure(load["median_s"]),
            figure(load["p99_s"]),
            figure(load["counted"] / self._scale.loop_s, 0),
            figure(floor.cpu_ms),
            str(floor.failures),
            NONE,
        )

    def _conclude(self, model_us: float) -> None:
        growth = self._xwe_cpu_ms[MOST_USERS] / self._xwe_cpu_ms[FEWEST_USERS]
        self.loops.notes.append(
            f"xwe's CPU a request at {MOST_USERS:,} users is {growth:.2f} × that at "
            f"{FEWEST_USERS} (goal {GROWTH_GOAL.verdict(growth)})."
        )
        self.loops.notes.append(
            f"The model server used {model_us:.0f} µs a request, the load generator "
            f"{1e6 * self._generator_cpu_s / self._answered:.0f} µs. A server that answers five "
            "at a time is not asked by more users than it can answer within "
            f"{LIMIT_S} s. The LiteLLM proxy is not measured: it needs a further set of packages."
        )
        self.loops.notes.append(
            "Where median × requests/s stays far below the number of users, some are overtaken "
            "again and again: their waits are in the p99, not in the median."
        )
        if self._asked_again:
            self.loops.notes.append("Answers and calls differ: " + " ".join(self._asked_again))


def _verdicts(goals: Goals, failures: int) -> str:
    """A goal is not met by refusing: nothing that failed anyone counts."""
    return verdicts(*((goal, None if failures else value) for goal, value in goals))


def _median_of(bursts: list[Measured], name: str) -> float | None:
    known = [burst.load[name] for burst in bursts if burst.load[name] is not None]
    return median(known) if known else None


def _name(server: WebServer) -> str:
    return f"**{server.name}**" if server is XWE else server.name


def web_tables(scale: Scale) -> list[Table]:
    bench = WebBench(scale)
    bench.run()
    return [bench.bursts, bench.loops]
