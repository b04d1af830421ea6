"""The one observer: told of every model call and every request, asked for the figures."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from xwe.core.nlp.observation import CallRecord, log_failure
from xwe.observability.blackboard import Blackboard
from xwe.observability.figures import WorkerFigures
from xwe.observability.history import History, Step
from xwe.observability.spans import Spans
from xwe.observability.totals import Totals
from xwe.observability.vitals import BusyMeter, Vitals, read_vitals

log = logging.getLogger("xwe.observation")

LOOK_EVERY_S = 1.0
# Two looks within this time would measure a busy share of next to nothing.
FRESH_FOR_S = 0.2
JOIN_WITHIN_S = 2.0

ClientStats = Callable[[], Mapping[str, Any]]


class Observation:
    """Counts calls and requests of this process, and reads its vitals.

    Nothing runs until `start`; without it the vitals are read when somebody asks. Thread-safe.

    Args:
        spans: where calls become spans; None where no tracing is wanted.
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
        self._looking = threading.Lock()
        self._vitals: Vitals | None = None
        self._looked_at = 0.0
        self._started_at = clock()
        self._blackboard: Blackboard | None = None
        self._is_reporting = True
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- what happens ---

    def observe_call(self, record: CallRecord) -> None:
        """The observer of model calls; one that failed is also logged."""
        with self._guard:
            self._totals.record_call(record)
            self._history.record_call(record)
        log_failure(record)
        if self._spans is not None:
            self._spans.note(record)

    def request_began(self) -> None:
        """A request holds a thread from now on."""
        with self._guard:
            self._threads_busy += 1

    def request_ended(self) -> None:
        """The request's thread is free again."""
        with self._guard:
            self._threads_busy -= 1

    def observe_request(self, route: str, method: str, status: str, duration_s: float) -> None:
        """A request is being answered; see `Totals.record_request`."""
        with self._guard:
            self._totals.record_request(route, method, status, duration_s)
            self._history.now().requests += 1

    # --- what is asked ---

    def watch(self, client_stats: ClientStats) -> None:
        """Read the vitals of model calls from here: `LLMClient.stats`."""
        self._client_stats = client_stats

    def figures(self) -> WorkerFigures:
        """This worker's figures, as they are now."""
        vitals = self._look()
        pid = os.getpid()
        with self._guard:
            totals = Totals()
            totals.merge(self._totals)
            rows = self._history.as_rows()
        return WorkerFigures(
            name=f"{pid}-{int(self._started_at * 1e6)}",
            pid=pid,
            started_at=self._started_at,
            vitals=vitals,
            totals=totals,
            steps=tuple(Step.from_row(row) for row in rows),
        )

    def all_figures(self) -> tuple[list[WorkerFigures], Totals]:
        """The figures of all workers by pid, and the totals of those that have departed.

        The other workers' are up to LOOK_EVERY_S old.
        """
        own = self.figures()
        if self._blackboard is None:
            return [own], Totals()
        others, departed = self._blackboard.read()
        workers = [own, *(other for other in others if other.name != own.name)]
        return sorted(workers, key=lambda worker: worker.pid), departed

    def _look(self) -> Vitals:
        """The vitals, read anew unless that has just been done."""
        with self._looking:
            now = time.monotonic()
            if self._vitals is None or now - self._looked_at >= FRESH_FOR_S:
                self._looked_at = now
                self._vitals = self._read_vitals()
            return self._vitals

    def _read_vitals(self) -> Vitals:
        if self._client_stats is None:
            raise RuntimeError("watch() comes first: there is no client to read from")
        cpu_s, watched_s = self._meter.read()
        vitals = read_vitals(
            self._client_stats(),
            threads_busy=self._threads_busy,
            busy_share=cpu_s / watched_s if watched_s else 0.0,
        )
        with self._guard:
            self._history.now().note_vitals(vitals, cpu_s, watched_s)
        return vitals

    # --- its life ---

    def start(self, blackboard: Blackboard | None = None) -> None:
        """Look at the vitals once a second from now on, and leave the figures on `blackboard`."""
        self._blackboard = blackboard
        self._thread = threading.Thread(
            target=self._keep_looking, name="xwe-observation", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop looking; the last figures are left behind. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_WITHIN_S)
            self._thread = None
        elif self._spans is not None:
            self._spans.send()

    def _keep_looking(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self._report()
        self._report()

    def _report(self) -> None:
        try:
            if self._blackboard is None:
                self._look()
            else:
                self._blackboard.leave(self.figures())
            if self._spans is not None:
                self._spans.send()
            self._is_reporting = True
        except Exception:
            if self._is_reporting:  # once, not once a second
                log.exception("The figures are not kept up to date any more")
            self._is_reporting = False
