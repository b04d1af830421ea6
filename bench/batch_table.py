"""Prompts through the batch processor: how many a core does in a second, and whether it grows."""

from processes import run_json, upstream
from scale import Scale
from table import NONE, Goal, Table, figure, verdicts


def batch_tables(scale: Scale) -> list[Table]:
    with upstream() as model:
        measured = run_json(
            "batch_rows.py", model.endpoint, "--prompts", str(scale.prompts), limit_s=900
        )
    rate = measured["prompts"] / measured["cpu_s"]
    growth_mb = measured["rss_late_mb"] - measured["rss_early_mb"]
    table = Table(
        "Batch",
        ("figure", "measured", "goal"),
        intro=(
            f"{measured['prompts']:,} prompts through one `AsyncBatchProcessor`, 64 at once, "
            "aiohttp transport, model latency 0."
        ),
    )
    goal = Goal(2500, decimals=0, at_least=True)
    table.add("prompts/s a core (prompts by CPU seconds)", figure(rate, 0), verdicts((goal, rate)))
    table.add("prompts/s", figure(measured["prompts"] / measured["wall_s"], 0), NONE)
    table.add("memory after a tenth, MB", figure(measured["rss_early_mb"], 1), NONE)
    table.add(
        "memory at the end, MB", figure(measured["rss_late_mb"], 1), f"flat: {growth_mb:+.1f}"
    )
    return [table]
