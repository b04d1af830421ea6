"""The figures for the system page: all workers added up, and their last minutes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from xwe.observability.history import (
    STEP_S,
    STEPS,
    DurationCounts,
    Step,
    add_counts,
    percentile_s,
)
from xwe.observability.worker_snapshots import WorkerSnapshot

MEDIAN, P95 = 0.5, 0.95
WINDOW_S = STEP_S * STEPS

# From best to worst. The worst state of any worker is shown for all of them.
_BREAKER_STATES = ("closed", "half_open", "open")


def status_of(
    workers: Sequence[WorkerSnapshot], limits: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """The reply to `GET /api/llm/status`; durations in seconds, times since the epoch.

    Args:
        workers: one snapshot per worker.
        limits: the limits of each worker, passed through unchanged.
        now: the time.
    """
    newest = int(now) // STEP_S * STEP_S
    steps = [Step(newest - STEP_S * ago) for ago in reversed(range(STEPS))]
    by_time = {step.at: step for step in steps}
    for worker in workers:
        for step in worker.steps:
            if step.at in by_time:
                by_time[step.at].merge(step)
    return {
        "at": now,
        "now": _now(workers),
        "limits": dict(limits),
        "recent": _recent(steps, _span_s(workers, now)),
        "history": _history(steps, now),
        "workers": [_worker(worker, now) for worker in workers],
    }


def _span_s(workers: Sequence[WorkerSnapshot], now: float) -> float:
    """How much of the window the server has been up, so that rates are right from the start."""
    oldest = min(worker.started_at for worker in workers)
    return min(max(now - oldest, 1.0), WINDOW_S - STEP_S + now % STEP_S)


def _now(workers: Sequence[WorkerSnapshot]) -> dict[str, Any]:
    vitals = [worker.vitals for worker in workers]
    pools = Counter[str]()
    for each in vitals:
        pools.update(each.pool or {})
    pools.pop("mean_task_s", None)
    return {
        "in_flight": sum(each.in_flight for each in vitals),
        "waiting": sum(each.waiting for each in vitals),
        "refused": sum(each.refused for each in vitals),
        "threads_busy": sum(each.threads_busy for each in vitals),
        "loop_lag_s": max(each.loop_lag_s for each in vitals),
        "busy_share": sum(each.busy_share for each in vitals) / len(vitals),
        "breaker": max((each.breaker for each in vitals), key=_BREAKER_STATES.index),
        "retries_left": sum(each.retries_left for each in vitals),
        "pool": dict(pools) or None,
    }


def _recent(steps: Sequence[Step], span_s: float) -> dict[str, Any]:
    failures: dict[str, int] = {}
    first_token: DurationCounts = {}
    total: DurationCounts = {}
    for step in steps:
        add_counts(first_token, step.first_token)
        add_counts(total, step.total)
        for code, count in step.failures.items():
            failures[code] = failures.get(code, 0) + count
    requests, calls = sum(step.requests for step in steps), sum(step.calls for step in steps)
    return {
        "window_s": WINDOW_S,
        "requests": requests,
        "requests_per_s": requests / span_s,
        "calls": calls,
        "calls_per_s": calls / span_s,
        "cached": sum(step.cached for step in steps),
        "failures": failures,
        "first_token_s": _percentiles(first_token),
        "total_s": _percentiles(total),
    }


def _percentiles(counts: DurationCounts) -> dict[str, float | int | None]:
    return {
        "count": sum(counts.values()),
        "p50": percentile_s(counts, MEDIAN),
        "p95": percentile_s(counts, P95),
    }


def _history(steps: Sequence[Step], now: float) -> dict[str, Any]:
    """One column per figure, one value per step; None where nothing was measured."""
    lengths_s = [min(STEP_S, max(now - step.at, 1.0)) for step in steps]
    timed = list(zip(steps, lengths_s, strict=True))
    return {
        "step_s": STEP_S,
        "at": [step.at for step in steps],
        "requests_per_s": [step.requests / length_s for step, length_s in timed],
        "calls_per_s": [step.calls / length_s for step, length_s in timed],
        "failures": [sum(step.failures.values()) for step in steps],
        "in_flight": [step.in_flight for step in steps],
        "waiting": [step.waiting for step in steps],
        "threads_busy": [step.threads_busy for step in steps],
        "loop_lag_s": [step.loop_lag_s if step.watched_s else None for step in steps],
        "busy_share": [_share(step) for step in steps],
        "first_token_p50_s": [percentile_s(step.first_token, MEDIAN) for step in steps],
        "first_token_p95_s": [percentile_s(step.first_token, P95) for step in steps],
        "total_p50_s": [percentile_s(step.total, MEDIAN) for step in steps],
        "total_p95_s": [percentile_s(step.total, P95) for step in steps],
    }


def _share(step: Step) -> float | None:
    return step.cpu_s / step.watched_s if step.watched_s else None


def _worker(worker: WorkerSnapshot, now: float) -> dict[str, Any]:
    """One worker: now, and its share of processor time in each step."""
    busy = [{"at": step.at, "busy_share": _share(step)} for step in worker.steps]
    return {
        "pid": worker.pid,
        "uptime_s": max(0.0, now - worker.started_at),
        **worker.vitals.as_row(),
        "history": busy,
    }
