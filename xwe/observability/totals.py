"""Counters and histograms since the start, as plain numbers.

Plain numbers rather than a metrics library's objects, because observing a model call must cost
next to nothing: recording one takes 2.4 us of processor time here, 4.5 us in prometheus_client's
registry, and 11.5 us when that registry is shared between processes. Plain numbers also add up
over processes.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from xwe.core.nlp.observation import CallRecord

CALL_BOUNDS_S = (
    *(0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0),
    *(3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 120.0, 180.0),
)
REQUEST_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# Clients choose model names. They must not be able to fill the memory, here or in Prometheus.
MOST_MODELS = 50
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's meaning; `bounds_s` are the upper bounds of a histogram's buckets, in seconds."""

    help: str
    labels: tuple[str, ...]
    bounds_s: tuple[float, ...] = ()


_CALL = ("provider", "model", "kind")

CALLS = "xwe_llm_calls"
FAILURES = "xwe_llm_failures"
RETRIES = "xwe_llm_retries"
CACHE_HITS = "xwe_llm_cache_hits"
TOKENS = "xwe_llm_tokens"
CALL_DURATION = "xwe_llm_call_duration_seconds"
FIRST_TOKEN = "xwe_llm_first_token_seconds"  # noqa: S105 - a metric's name
QUEUE_TIME = "xwe_llm_queue_seconds"
REQUESTS = "xwe_http_requests"
REQUEST_DURATION = "xwe_http_request_duration_seconds"

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        CALLS: Metric("Model calls by outcome: ok, failed or cancelled.", (*_CALL, "outcome")),
        FAILURES: Metric("Model calls that failed, by the error's code.", (*_CALL, "cause")),
        RETRIES: Metric("Attempts after the first of a call.", _CALL),
        CACHE_HITS: Metric("Calls answered with another call's answer.", _CALL),
        TOKENS: Metric(
            "Tokens by direction, input or output, where the provider reports them.",
            ("provider", "model", "direction"),
        ),
        CALL_DURATION: Metric(
            "Time of a call that reached the provider, including waiting and retries.",
            _CALL,
            CALL_BOUNDS_S,
        ),
        FIRST_TOKEN: Metric(
            "Time from a streamed call to its first piece.", ("provider", "model"), CALL_BOUNDS_S
        ),
        QUEUE_TIME: Metric(
            "Time a call waited for a slot and for the rate limit.",
            ("provider", "model"),
            CALL_BOUNDS_S,
        ),
        REQUESTS: Metric("HTTP requests answered.", ("route", "method", "status")),
        REQUEST_DURATION: Metric(
            "Time until the reply to an HTTP request began.", ("route",), REQUEST_BOUNDS_S
        ),
    }
)

Series = tuple[str, ...]
"""A metric's name and the values of its labels."""


class Totals:
    """Counters and histograms since the start. Not thread-safe: its owner holds a lock.

    A histogram is a list: the count of each bucket, then the sum of the values.
    """

    def __init__(self) -> None:
        self.counters: dict[Series, float] = {}
        self.histograms: dict[Series, list[float]] = {}
        self._models: set[str] = set()

    def record_call(self, record: CallRecord) -> None:
        """Count one model call."""
        provider, kind, outcome = record.provider, record.kind, record.outcome
        model, timings, usage = self._bounded(record.model), record.timings, record.usage
        if outcome in {"ok", "cancelled"}:
            self._add((CALLS, provider, model, kind, outcome), 1)
        else:
            self._add((CALLS, provider, model, kind, "failed"), 1)
            self._add((FAILURES, provider, model, kind, outcome), 1)
        if timings.attempts:  # a call refused here says nothing about the provider's speed
            self._observe((CALL_DURATION, provider, model, kind), timings.total_s)
            self._observe((QUEUE_TIME, provider, model), timings.queue_s)
            self._add((RETRIES, provider, model, kind), timings.attempts - 1)
        elif outcome == "ok":
            self._add((CACHE_HITS, provider, model, kind), 1)
        if timings.first_token_s is not None:
            self._observe((FIRST_TOKEN, provider, model), timings.first_token_s)
        if usage is not None:
            self._add((TOKENS, provider, model, "input"), usage.prompt_tokens)
            self._add((TOKENS, provider, model, "output"), usage.completion_tokens)

    def record_request(self, route: str, method: str, status: str, duration_s: float) -> None:
        """Count one HTTP request; `route` is its template and `status` its class, as "2xx"."""
        self._add((REQUESTS, route, method, status), 1)
        self._observe((REQUEST_DURATION, route), duration_s)

    def merge(self, other: "Totals") -> None:
        """Add the figures of another process."""
        for series, value in other.counters.items():
            self._add(series, value)
        for series, cells in other.histograms.items():
            mine = self.histograms.get(series)
            self.histograms[series] = (
                list(cells) if mine is None else [a + b for a, b in zip(mine, cells, strict=True)]
            )

    def as_rows(self) -> dict[str, Any]:
        """The figures for JSON; `from_rows` reads them."""
        return {
            "counters": list(self.counters.items()),
            "histograms": [(series, list(cells)) for series, cells in self.histograms.items()],
        }

    @classmethod
    def from_rows(cls, rows: Mapping[str, Iterable[Any]]) -> "Totals":
        """The reverse of `as_rows`."""
        totals = cls()
        totals.counters = {tuple(series): value for series, value in rows["counters"]}
        totals.histograms = {tuple(series): cells for series, cells in rows["histograms"]}
        return totals

    def _bounded(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= MOST_MODELS:
                return OTHER
            self._models.add(model)
        return model

    def _add(self, series: Series, amount: float) -> None:
        counters = self.counters
        counters[series] = counters.get(series, 0) + amount

    def _observe(self, series: Series, value_s: float) -> None:
        bounds = METRICS[series[0]].bounds_s
        cells = self.histograms.get(series)
        if cells is None:
            cells = self.histograms[series] = [0.0] * (len(bounds) + 2)
        cells[bisect_left(bounds, value_s)] += 1
        cells[-1] += value_s
