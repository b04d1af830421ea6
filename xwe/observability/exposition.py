"""The figures in Prometheus's text format."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from xwe.observability.totals import METRICS, Totals
from xwe.observability.worker_snapshots import WorkerSnapshot

# Gauges, one per worker: the field of its vitals, the metric and its help.
_GAUGES = {
    "in_flight": ("xwe_llm_in_flight", "Model calls running now."),
    "waiting": ("xwe_llm_waiting", "Model calls waiting for a slot now."),
    "retries_left": ("xwe_llm_retry_quota", "Retries left in the quota now."),
    "loop_lag_s": ("xwe_loop_lag_seconds", "How late the event loop was at the last check."),
    "threads_busy": ("xwe_worker_threads_busy", "Requests holding a thread now."),
    "busy_share": ("xwe_worker_busy_share", "Share of the last second or so spent on a processor."),
}
_POOL_GAUGES = {
    "threads": ("xwe_pool_threads", "Threads of the pool."),
    "running": ("xwe_pool_running", "Tasks running in the pool now."),
    "waiting": ("xwe_pool_waiting", "Tasks waiting for a thread of the pool now."),
}
_WORKER_COUNTERS = {
    "cpu_s": ("xwe_worker_cpu_seconds", "Processor time of a worker."),
    "refused": ("xwe_llm_refused", "Model calls refused because every slot was taken."),
}
_BREAKER_STATES = ("closed", "open", "half_open")
_BY_WORKER = ("pid",)


class Exposition(NamedTuple):
    """A reply to a scrape."""

    body: bytes
    content_type: str


class _Figures(Collector):
    def __init__(self, workers: Sequence[WorkerSnapshot], exited: Totals) -> None:
        self._workers, self._exited = workers, exited

    def collect(self) -> Iterator[Metric]:
        totals = Totals()
        for part in (self._exited, *(worker.totals for worker in self._workers)):
            totals.merge(part)
        yield from _totals(totals)
        yield from _vitals(self._workers)


def expose(workers: Sequence[WorkerSnapshot], exited: Totals, accept: str) -> Exposition:
    """The reply to a scrape with the Accept header `accept`."""
    registry = CollectorRegistry()
    registry.register(_Figures(workers, exited))
    encode, content_type = choose_encoder(accept)
    return Exposition(encode(registry), content_type)


def _totals(totals: Totals) -> Iterator[Metric]:
    for name, metric in METRICS.items():
        if metric.bounds_s:
            histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
            edges = [*map(str, metric.bounds_s), "+Inf"]
            for series, cells in totals.histograms.items():
                if series[0] == name:
                    buckets = list(zip(edges, accumulate(cells[:-1]), strict=True))
                    histogram.add_metric(series[1:], buckets, cells[-1])
            yield histogram
        else:
            counter = CounterMetricFamily(name, metric.help, labels=metric.labels)
            for series, value in totals.counters.items():
                if series[0] == name:
                    counter.add_metric(series[1:], value)
            yield counter


def _vitals(workers: Iterable[WorkerSnapshot]) -> Iterator[Metric]:
    rows = [(str(worker.pid), worker.vitals.as_row()) for worker in workers]
    for field, (name, text) in _GAUGES.items():
        yield _gauge(name, text, [(pid, row[field]) for pid, row in rows])
    for field, (name, text) in _POOL_GAUGES.items():
        yield _gauge(name, text, [(pid, row["pool"][field]) for pid, row in rows if row["pool"]])
    for field, (name, text) in _WORKER_COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=_BY_WORKER)
        for pid, row in rows:
            counter.add_metric([pid], row[field])
        yield counter
    breaker = GaugeMetricFamily(
        "xwe_llm_breaker", "1 for the current state of the breaker.", labels=(*_BY_WORKER, "state")
    )
    for pid, row in rows:
        for state in _BREAKER_STATES:
            breaker.add_metric([pid, state], float(row["breaker"] == state))
    yield breaker


def _gauge(name: str, text: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=_BY_WORKER)
    for pid, value in values:
        gauge.add_metric([pid], value)
    return gauge
