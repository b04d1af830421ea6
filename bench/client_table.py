"""What a call costs the caller, and a streamed piece: our transports beside the peers."""

from dataclasses import dataclass
from statistics import median

from client_rows import ASYNC_CALLS, STREAMS, THREADED_CALLS
from processes import Upstream, cpu_s, environment, run_json, upstream
from scale import Scale
from table import Goal, Table, figure, spread, verdicts

CONCURRENCY = 64
WARM_UP_CALLS = 3  # of each of the 64: connections stand, caches are warm
CALL_FLOOR = "raw aiohttp"
CALL_ROWS = (
    CALL_FLOOR,
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
assert set(CALL_ROWS) == {*ASYNC_CALLS, *THREADED_CALLS}
CALL_GOALS = {
    "xwe aiohttp": (Goal(0.30, "ms"), Goal(1.5, "×", 1)),
    "xwe requests": (Goal(1.8, "ms", 1), None),
}

# Streams side by side, and the time between two pieces of one: few enough that no client falls
# behind, so that every piece arrives alone and is paid for alone.
STREAMS_AT_ONCE = 8
PIECE_EVERY_MS = 12
PIECES = 200
STREAM_FLOOR = "raw aiohttp + orjson"
PIECE_GOAL = Goal(60, "µs", 0)


@dataclass(frozen=True)
class Sample:
    """One run of one row."""

    cpu_s: float
    rate: float

    @classmethod
    def of(cls, measured: dict[str, float]) -> "Sample":
        return cls(
            cpu_s=measured["cpu_s"] / measured["work"], rate=measured["work"] / measured["wall_s"]
        )


def client_tables(scale: Scale) -> list[Table]:
    return [_calls(scale), _pieces(scale)]


def _calls(scale: Scale) -> Table:
    each = scale.calls // CONCURRENCY
    samples: dict[str, list[Sample]] = {row: [] for row in CALL_ROWS}
    with upstream() as model:
        started_s = cpu_s(model.pid)
        for _ in range(scale.repeats):
            for row, taken in samples.items():
                taken.append(_run("call", row, model, (CONCURRENCY, each, WARM_UP_CALLS)))
        own_us = 1e6 * (cpu_s(model.pid) - started_s) / model.counters()["requests"]
    table = Table(
        "A call, client side",
        ("client", "CPU a call, ms", "least–most", "ratio to the floor", "calls/s", "goal"),
        intro=(
            f"{CONCURRENCY} calls at once, model latency 0, {each * CONCURRENCY:,} calls, "
            f"{scale.runs}. CPU is user and system time of the client's process."
        ),
    )
    floor_ms = 1000 * median(sample.cpu_s for sample in samples[CALL_FLOOR])
    for row, taken in samples.items():
        costs_ms = [1000 * sample.cpu_s for sample in taken]
        cost_ms = median(costs_ms)
        absolute, relative = CALL_GOALS.get(row, (None, None))
        table.add(
            f"**{row}**" if row.startswith("xwe") else row,
            figure(cost_ms, 3),
            spread(costs_ms, 3),
            figure(cost_ms / floor_ms, 1),
            figure(median(sample.rate for sample in taken), 0),
            verdicts((absolute, cost_ms), (relative, cost_ms / floor_ms)),
        )
    table.notes.append(
        "An xwe call runs on the resident loop, as in a view under `async_route`; “from another "
        "loop” and “from threads” add the hop from an asyncio program or from plain threads. The "
        f"model server used {own_us:.0f} µs of its own a request."
    )
    return table


def _pieces(scale: Scale) -> Table:
    samples: dict[str, list[Sample]] = {row: [] for row in STREAMS}
    with upstream(pieces=PIECES, interval_ms=PIECE_EVERY_MS) as model:
        for _ in range(scale.repeats):
            for row, taken in samples.items():
                taken.append(_run("stream", row, model, (STREAMS_AT_ONCE, scale.streams_each, 1)))
    table = Table(
        "A streamed piece, client side",
        ("client", "CPU a piece, µs", "least–most", "ratio to the floor", "goal"),
        intro=(
            f"{STREAMS_AT_ONCE} streams at once, {PIECES} pieces each, one every "
            f"{PIECE_EVERY_MS} ms, {scale.runs}."
        ),
    )
    floor_us = 1e6 * median(sample.cpu_s for sample in samples[STREAM_FLOOR])
    for row, taken in samples.items():
        costs_us = [1e6 * sample.cpu_s for sample in taken]
        is_ours = row.startswith("xwe")
        table.add(
            f"**{row}**" if is_ours else row,
            figure(median(costs_us), 0),
            spread(costs_us, 0),
            figure(median(costs_us) / floor_us, 1),
            verdicts((PIECE_GOAL if is_ours else None, median(costs_us))),
        )
    return table


def _run(kind: str, row: str, model: Upstream, load: tuple[int, int, int]) -> Sample:
    """One row in a fresh process; `load` is the concurrency, the calls of each, and the warm-up."""
    concurrency, each, warm_up = load
    before = model.counters()["requests"]
    measured = run_json(
        "client_rows.py",
        *(kind, row, model.endpoint, "--pieces", str(PIECES)),
        *("--concurrency", str(concurrency), "--each", str(each), "--warm-up", str(warm_up)),
        env=environment(LLM_ASYNC_WORKERS=str(CONCURRENCY)),
    )
    asked = model.counters()["requests"] - before
    # A hidden retry would make a client look slow, a hidden cache fast.
    assert asked == concurrency * (each + warm_up), f"{row}: the model was asked {asked} times"
    return Sample.of(measured)
