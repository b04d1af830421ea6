"""The one observer: every model call and request is reported to it, and it has the figures."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from xwe.core.nlp.observation import CallRecord, log_failure
from xwe.observability.history import History, Step
from xwe.observability.spans import Spans
from xwe.observability.totals import Totals
from xwe.observability.vitals import BusyMeter, Vitals, read_vitals
from xwe.observability.worker_snapshots import SnapshotDirectory, WorkerSnapshot

log = logging.getLogger("xwe.observation")

CHECK_EVERY_S = 1.0
# Two checks closer together than this would have nothing to measure a busy share of.
FRESH_FOR_S = 0.2
JOIN_WITHIN_S = 2.0

ClientStats = Callable[[], Mapping[str, Any]]


class Observation:
    """Counts calls and requests of this process, and reads its vitals.

    Nothing runs until `start`; until then the vitals are read on demand. Thread-safe.

    Args:
        spans: turns calls into spans; None without tracing.
        clock: seconds since the epoch.
    """

    def __init__(
        self, *, spans: Spans | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._spans = spans
        self._clock = clock
        self._guard = threading.Lock()
        self._totals = Totals()
        self._history = History(clock)
        self._threads_busy = 0
        self._client_stats: ClientStats | None = None
        self._meter = BusyMeter()
        self._checking = threading.Lock()
        self._vitals: Vitals | None = None
        self._checked_at = 0.0
        self._started_at = clock()
        self._directory: SnapshotDirectory | None = None
        self._is_reporting = True
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- events ---

    def observe_call(self, record: CallRecord) -> None:
        """Count one model call; a failed one is also logged."""
        with self._guard:
            self._totals.record_call(record)
            self._history.record_call(record)
        log_failure(record)
        if self._spans is not None:
            self._spans.note(record)

    def request_began(self) -> None:
        """A request has taken a thread."""
        with self._guard:
            self._threads_busy += 1

    def request_ended(self) -> None:
        """A request has freed its thread."""
        with self._guard:
            self._threads_busy -= 1

    def observe_request(self, route: str, method: str, status: str, duration_s: float) -> None:
        """Count one HTTP request; see `Totals.record_request`."""
        with self._guard:
            self._totals.record_request(route, method, status, duration_s)
            self._history.now().requests += 1

    # --- figures ---

    def watch(self, client_stats: ClientStats) -> None:
        """Read the vitals of model calls from `client_stats`, which is `LLMClient.stats`."""
        self._client_stats = client_stats

    def snapshot(self) -> WorkerSnapshot:
        """This worker's figures as of now."""
        vitals = self._check()
        pid = os.getpid()
        with self._guard:
            totals = Totals()
            totals.merge(self._totals)
            rows = self._history.as_rows()
        return WorkerSnapshot(
            name=f"{pid}-{int(self._started_at * 1e6)}",
            pid=pid,
            started_at=self._started_at,
            vitals=vitals,
            totals=totals,
            steps=tuple(Step.from_row(row) for row in rows),
        )

    def all_workers(self) -> tuple[list[WorkerSnapshot], Totals]:
        """A snapshot of every worker, by pid, and the totals of the workers that have exited.

        Those of the other workers are up to CHECK_EVERY_S old.
        """
        own = self.snapshot()
        if self._directory is None:
            return [own], Totals()
        others, exited = self._directory.read()
        workers = [own, *(other for other in others if other.name != own.name)]
        return sorted(workers, key=lambda worker: worker.pid), exited

    def _check(self) -> Vitals:
        """The vitals, read again unless they were read a moment ago."""
        with self._checking:
            now = time.monotonic()
            if self._vitals is None or now - self._checked_at >= FRESH_FOR_S:
                self._checked_at = now
                self._vitals = self._read_vitals()
            return self._vitals

    def _read_vitals(self) -> Vitals:
        if self._client_stats is None:
            raise RuntimeError("Call watch() first: there is no client to read from")
        cpu_s, watched_s = self._meter.read()
        vitals = read_vitals(
            self._client_stats(),
            threads_busy=self._threads_busy,
            busy_share=cpu_s / watched_s if watched_s else 0.0,
        )
        with self._guard:
            self._history.now().note_vitals(vitals, cpu_s, watched_s)
        return vitals

    # --- lifecycle ---

    def start(self, directory: SnapshotDirectory | None = None) -> None:
        """Check the vitals once a second from now on, and write snapshots to `directory`."""
        self._directory = directory
        self._thread = threading.Thread(target=self._run, name="xwe-observation", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, after a last snapshot. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_WITHIN_S)
            self._thread = None
        elif self._spans is not None:
            self._spans.send()

    def _run(self) -> None:
        while not self._stopping.wait(CHECK_EVERY_S):
            self._report()
        self._report()

    def _report(self) -> None:
        try:
            if self._directory is None:
                self._check()
            else:
                self._directory.write(self.snapshot())
            if self._spans is not None:
                self._spans.send()
            self._is_reporting = True
        except Exception:
            if self._is_reporting:  # once, not once a second
                log.exception("The figures are no longer kept up to date")
            self._is_reporting = False
