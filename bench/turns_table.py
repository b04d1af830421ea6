"""Many turns with tools at once on one worker: what each takes, beside one alone."""

from dataclasses import replace
from statistics import median

from load import nearest_rank
from processes import cpu_s, run_json, upstream
from scale import Scale
from table import NONE, Goal, Table, figure, verdicts
from tools_model import Case, ours_preemptive
from web_servers import PEERS, XWE, running

TURNS, BURSTS, ALONE = 200, 3, 3
TOOL_S = 1.0
# One call, a bridge until its result is there, and a short answer.
ARGUMENTS, BRIDGE, ANSWER = 25, 200, 50
CASE = Case(arguments=(ARGUMENTS,), tools_s=(TOOL_S,), bridge=BRIDGE, answer=ANSWER)
GOAL = Goal(1.10, "×")
SERVER = replace(
    XWE,
    name="xwe, /api/agent/stream",
    path="/api/agent/stream",
    variables={
        **XWE.variables,
        "XWE_TOOLS": "one_second_tool:tool_0",
        "PYTHONPATH": str(PEERS),
    },
)


def turns_tables(scale: Scale) -> list[Table]:  # noqa: ARG001 - a minute of a clock
    computed = ours_preemptive(CASE).total
    table = Table(
        "Turns with tools, many at once",
        ("turns", "median, s", "p99, s", "CPU a turn, ms", "failed", "goal"),
        intro=(
            f"One worker; one tool that takes {TOOL_S:g} s, preemptive: {computed:.2f} s by "
            f"arithmetic. First {ALONE} turns one after another, then many: all at the same "
            "instant, and begun one after another within a second, so that all of them are in the "
            f"making at once. Each of the two {BURSTS} times, of which the median counts. CPU is "
            "the mean over all."
        ),
    )
    model_speaks = {"latency_ms": 1000 * CASE.first_token_s, "interval_ms": 1000 * CASE.takes(1)}
    with (
        upstream(turn=(ARGUMENTS, BRIDGE, ANSWER), **model_speaks) as model,
        running(SERVER, model) as subject,
    ):
        before = cpu_s(subject.pid)
        load = run_json(
            "turns_load.py",
            *(str(subject.port), "--together", str(TURNS)),
            *("--alone", str(ALONE), "--bursts", str(BURSTS)),
        )
        turns = 2 * BURSTS * TURNS + ALONE
        cpu_ms = 1000 * (cpu_s(subject.pid) - before) / turns
    titles = {
        "alone": "1",
        "instant": f"{TURNS} at the same instant",
        "spread": f"{TURNS}, begun within a second",
    }
    alone_s = None
    for name, title in titles.items():
        whole = [sorted(each for each in burst if each is not None) for burst in load[name]]
        failed = sum(burst.count(None) for burst in load[name])
        median_s, p99_s = (
            median(nearest_rank(burst, share) or 0.0 for burst in whole) for share in (0.5, 0.99)
        )
        alone_s = alone_s or median_s
        goal = verdicts((GOAL, None if failed else median_s / alone_s))
        is_alone = name == "alone"
        table.add(
            title,
            figure(median_s),
            figure(p99_s),
            NONE if is_alone else figure(cpu_ms, 1),
            str(failed),
            NONE if is_alone else goal,
        )
    return [table]
