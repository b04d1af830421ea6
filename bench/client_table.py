"""What a call costs the caller, and a streamed piece: our transports beside the peers."""

from statistics import median

from client_rows import ASYNC_CALLS, STREAMS, THREADED_CALLS
from processes import cpu_s, environment, run_json, upstream
from scale import Scale
from table import Goal, Table, figure, verdicts

CONCURRENCY = 64
FLOOR = "raw aiohttp"
STREAM_FLOOR = "raw aiohttp + orjson"
CALL_ORDER = (
    FLOOR,
    "requests, pooled Session, threads",
    "AsyncOpenAI, shared",
    "OpenAI in threads",
    "requests.post (the documents' client)",
    "LiteLLM acompletion",
    "xwe aiohttp",
    "xwe aiohttp, from another loop",
    "xwe aiohttp, from threads",
    "xwe requests",
    "xwe requests, from threads",
    "xwe openai",
)
assert set(CALL_ORDER) == {*ASYNC_CALLS, *THREADED_CALLS}

# Streams side by side, and the time between two pieces of one: few enough that no client falls
# behind, so that every piece arrives alone and is paid for alone.
STREAMS_AT_ONCE = 8
PIECE_EVERY_MS = 12
PIECES = 200


def client_tables(scale: Scale) -> list[Table]:
    return [_calls(scale), _pieces(scale)]


def _calls(scale: Scale) -> Table:
    each = scale.calls // CONCURRENCY
    spent = {row: [] for row in CALL_ORDER}
    env = environment(LLM_ASYNC_WORKERS=str(CONCURRENCY))
    arguments = ["--concurrency", str(CONCURRENCY), "--each", str(each)]
    with upstream() as model:
        for _ in range(scale.repeats):
            for row in CALL_ORDER:
                measured = run_json(
                    "client_rows.py", "call", row, model.endpoint, *arguments, env=env
                )
                spent[row].append(
                    (
                        1000 * measured["cpu_s"] / measured["work"],
                        measured["work"] / measured["wall_s"],
                    )
                )
        own_us = 1e6 * cpu_s(model.pid) / model.counters()["requests"]
    table = Table(
        "A call, client side",
        ("client", "CPU a call, ms", "least–most", "ratio to the floor", "calls/s", "goal"),
        intro=(
            f"{CONCURRENCY} calls at once, model latency 0, {each * CONCURRENCY:,} calls a run, "
            f"median of {scale.repeats} runs. CPU is user and system time of the client's process."
        ),
    )
    cost = {row: median(cpu for cpu, _ in runs) for row, runs in spent.items()}
    goals = {
        "xwe aiohttp": lambda ms: [(Goal(0.30, "ms"), ms), (Goal(1.5, "×", 1), ms / cost[FLOOR])],
        "xwe requests": lambda ms: [(Goal(1.8, "ms", 1), ms)],
    }
    for row in CALL_ORDER:
        costs = [cpu for cpu, _ in spent[row]]
        table.add(
            f"**{row}**" if row.startswith("xwe") else row,
            figure(cost[row], 3),
            f"{min(costs):.3f}–{max(costs):.3f}",
            figure(cost[row] / cost[FLOOR], 1),
            figure(median(rate for _, rate in spent[row]), 0),
            verdicts(*goals[row](cost[row]) if row in goals else ()),
        )
    table.notes.append(
        "An xwe call runs on the resident loop, as in a view under `async_route`; “from another "
        "loop” and “from threads” add the hop from an asyncio program or a plain thread. "
        f"The model server used {own_us:.0f} µs of its own a request."
    )
    return table


def _pieces(scale: Scale) -> Table:
    spent = {row: [] for row in STREAMS}
    arguments = ["--concurrency", str(STREAMS_AT_ONCE), "--pieces", str(PIECES)]
    arguments += ["--each", str(scale.streams_each), "--warm-up", "1"]
    with upstream(pieces=PIECES, interval_ms=PIECE_EVERY_MS) as model:
        for _ in range(scale.repeats):
            for row in STREAMS:
                measured = run_json("client_rows.py", "stream", row, model.endpoint, *arguments)
                spent[row].append(1e6 * measured["cpu_s"] / measured["work"])
    table = Table(
        "A streamed piece, client side",
        ("client", "CPU a piece, µs", "least–most", "ratio to the floor", "goal"),
        intro=(
            f"{STREAMS_AT_ONCE} streams at once, {PIECES} pieces each, one every "
            f"{PIECE_EVERY_MS} ms, median of {scale.repeats} runs."
        ),
    )
    floor_us = median(spent[STREAM_FLOOR])
    for row, costs in spent.items():
        cost_us = median(costs)
        table.add(
            f"**{row}**" if row.startswith("xwe") else row,
            figure(cost_us, 0),
            f"{min(costs):.0f}–{max(costs):.0f}",
            figure(cost_us / floor_us, 1),
            verdicts(*[(Goal(60, "µs", 0), cost_us)] if row == "xwe aiohttp" else ()),
        )
    return table
