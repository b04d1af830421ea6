"""Jobs in memory, under a clock that the test moves."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DatabaseUnavailableError
from xwe.jobs.attempt import AttemptTimes
from xwe.jobs.in_process import InProcessRunner

MAX_ATTEMPTS = 3
SOON_S = 60.0
NEVER_S = 3600.0


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Row:
    """The state of a row, and a snapshot of it when taken: a change makes another one."""

    id: int
    due: datetime
    kind: str = "build"
    payload: dict[str, Any] = field(default_factory=dict)
    user_id: int | None = 1
    state: str = "queued"
    attempts: int = 0
    owner: str | None = None
    lease_until: datetime | None = None
    cancel_requested: bool = False
    progress: int = 0
    message: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    error: str | None = None


class MemoryStore:
    """What `JobRows` does, without a database.

    Attributes:
        rows: the jobs by id.
        empty_looks: how often a runner has looked for jobs and found none.
        is_away: whether every call fails, as when the database is unavailable.
        refused: set by the first call that failed so.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self.rows: dict[int, Row] = {}
        self.empty_looks = 0
        self.is_away = False
        self.refused = threading.Event()

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Wait for a call of the runner's that makes `holds()` true."""
        with self._changed:
            assert self._changed.wait_for(holds, SOON_S)

    def queue(self, **fields: Any) -> int:
        row = Row(len(self.rows) + 1, self._clock(), **fields)
        self.rows[row.id] = row
        return row.id

    def request_cancel(self, job_id: int) -> None:
        self._change(job_id, cancel_requested=True)

    def is_any_due(self, kinds, at):
        self._answer()
        with self._changed:
            is_due = self._next(kinds) is not None
            self.empty_looks += not is_due
            self._changed.notify_all()
            return is_due

    def take(self, kinds, owner, lease_until):
        self._answer()
        with self._changed:
            row = self._next(kinds)
            if row is None:
                return None
            token = f"{owner}:{row.attempts}"
            attempts = row.attempts + 1
            return self._change(
                row.id, state="running", attempts=attempts, owner=token, lease_until=lease_until
            )

    def is_cancelled(self, taken):
        self._answer()
        return self.rows[taken.id].cancel_requested if self._is_ours(taken) else None

    def renew(self, taken, lease_until):
        is_ours = self._write(taken, lease_until=lease_until)
        return self.rows[taken.id].cancel_requested if is_ours else None

    def give_back(self, taken):
        return self._write(taken, state="queued", owner=None, attempts=taken.attempts - 1)

    def progress(self, taken, percent, message, detail):
        merged = self.rows[taken.id].detail | dict(detail)
        return self._write(taken, progress=percent, message=message, detail=merged)

    def finish(self, taken, result):
        return self._write(taken, state="done", result=result)

    def fail(self, taken, error, retry_at):
        if retry_at is None or taken.attempts >= MAX_ATTEMPTS:
            return self._write(taken, state="dead", error=error)
        return self._write(taken, state="queued", error=error, due=retry_at)

    def cancelled(self, taken):
        return self._write(taken, state="cancelled")

    def _next(self, kinds):
        at = self._clock()
        for row in self.rows.values():
            is_waiting = row.state == "queued" and row.due <= at
            is_left = row.state == "running" and row.lease_until < at
            if row.kind in kinds and (is_waiting or is_left):
                return row
        return None

    def _is_ours(self, taken):
        row = self.rows[taken.id]
        return (row.state, row.owner) == ("running", taken.owner)

    def _write(self, taken, **changes):
        self._answer()
        with self._changed:
            is_ours = self._is_ours(taken)
            if is_ours:
                self._change(taken.id, **changes)
            return is_ours

    def _change(self, job_id, **changes):
        with self._changed:
            row = self.rows[job_id] = replace(self.rows[job_id], **changes)
            self._changed.notify_all()
            return row

    def _answer(self):
        if self.is_away:
            self.refused.set()
            raise DatabaseUnavailableError


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    return MemoryStore(clock)


@pytest.fixture
def handlers():
    return {}


@pytest.fixture
def make_runner(store, handlers, clock):
    """Makes runners, and closes them in the end."""
    with ExitStack() as stack:

        def make(poll_s: float = NEVER_S, check_s: float = 0.005, **options: Any):
            # Unless told otherwise, it looks for jobs only when it is woken or one has ended.
            times = AttemptTimes(check_s=check_s, clock=clock)
            runner = InProcessRunner(store, handlers, poll_s=poll_s, times=times, **options)
            stack.callback(runner.close)
            return runner

        yield make


@pytest.fixture
def runner(make_runner):
    return make_runner()


@pytest.fixture
def look(store) -> Callable[[Callable[[], None]], None]:
    """Calls a runner's `start` or `wake`, and waits until it has taken all jobs that are due."""

    def look(start_or_wake: Callable[[], None]) -> None:
        looks = store.empty_looks
        start_or_wake()
        store.wait_until(lambda: store.empty_looks > looks)

    return look


@pytest.fixture
def run_due(store, runner, look) -> Callable[[], None]:
    """Has the runner do what is due, and waits for its end."""

    def run() -> None:
        look(runner.wake)
        store.wait_until(lambda: all(row.state != "running" for row in store.rows.values()))

    return run


class Steps:
    """A handler that the test leads: it says that it has begun, and ends when it may."""

    def __init__(self) -> None:
        self._begun = threading.Semaphore(0)
        self._may_end = asyncio.Event()
        self.works: list[Any] = []
        self.was_cancelled = threading.Event()

    async def __call__(self, work: Any) -> str:
        self.works.append(work)
        self._begun.release()
        try:
            await self._may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        return "done"

    def let_end(self) -> None:
        get_loop_thread().loop.call_soon_threadsafe(self._may_end.set)

    def wait_until_begun(self) -> Any:
        assert self._begun.acquire(timeout=SOON_S)
        return self.works[-1]


@pytest.fixture
def steps(handlers):
    steps = handlers["build"] = Steps()
    yield steps
    steps.let_end()
