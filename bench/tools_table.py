"""Turns with tools: what each way of running them takes, computed and measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import get_args

from processes import run_json
from scale import Scale
from table import NONE, Goal, Table, figure, verdicts
from tools_model import MODES, Arrival, Case, lower_bound
from tools_upstream import rules

from xwe.mock import MockServer

REFERENCE = Case()
GOAL = Goal(60, "ms", 0)
ARRIVALS: Mapping[Arrival, str] = {
    "trickle": "trickle in",
    "burst": "come in one burst a call",
    "burst_at_end": "come in one burst for all calls",
}
assert tuple(ARRIVALS) == get_args(Arrival)

INTRO = """\
One question, three tools: {rate:g} tokens/s, {first:g} s to a request's first token, {arguments} \
tokens of arguments for each call, tools that take {tools} s, a bridge of {bridge} tokens and an \
answer of {answer}, from the built-in model server. Times in seconds: the first text, the first \
text of an answer that knows results, and the end. Computed by `bench/tools_model.py`; no engine \
of separate requests can be grounded before {bound:.2f} s. The baselines are \
`bench/peers/document_000.py` on AsyncOpenAI, its cut ideal. All rows of a table run at once."""

NOTE = """\
A reply's n-th token is due n - 1 steps after its first, and its end a step after its last: so a \
call's closing brace comes one step ({step:.0f} ms) before the computed a_i, and what follows \
from it may be measured so much early."""


def tools_tables(scale: Scale) -> list[Table]:  # noqa: ARG001 - these are seconds of a clock: there is nothing to do less of
    return [_table(replace(REFERENCE, arrival=arrival)) for arrival in ARRIVALS]


def _table(case: Case) -> Table:
    with MockServer() as server:
        server.follow(*rules(case))
        measured = run_json("tools_rows.py", server.base_url, json.dumps(case.tools_s))
    table = Table(
        f"Turns with tools, whose arguments {ARRIVALS[case.arrival]}",
        (
            "engine",
            *(f"{what}, {how}" for what in ("first", "grounded", "total") for how in ("c.", "m.")),
            "differences, ms",
            "goal",
        ),
        intro=_intro(case),
        notes=[NOTE.format(step=1000 * case.takes(1))],
    )
    for name, computed in MODES.items():
        _add(table, name, asdict(computed(case)), measured[name])
    return table


def _add(
    table: Table, name: str, computed: Mapping[str, float], measured: Mapping[str, float]
) -> None:
    differences = [1000 * (measured[what] - computed[what]) for what in computed]
    cells = [figure(times[what]) for what in computed for times in (computed, measured)]
    worst = max(map(abs, differences))
    is_ours = name.startswith("xwe")
    table.add(
        f"**{name}**" if is_ours else name,
        *cells,
        " / ".join(f"{one:+.0f}" for one in differences),
        verdicts((GOAL, worst)) if is_ours else NONE,
    )


def _intro(case: Case) -> str:
    return INTRO.format(
        rate=case.tokens_per_s,
        first=case.first_token_s,
        arguments=" + ".join(map(str, case.arguments)),
        tools=", ".join(f"{takes:g}" for takes in case.tools_s),
        bridge=case.bridge,
        answer=case.answer,
        bound=lower_bound(case),
    )
