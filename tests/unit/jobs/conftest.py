"""Jobs in memory under a clock that the test moves."""

import asyncio
import os
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


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Row:
    """A row's state, which is also what `take` returns: nothing of it changes any more."""

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
    """What `JobRows` does, without a database. `is_away` takes it away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self.rows: dict[int, Row] = {}
        self.is_away = False
        self.refused = threading.Event()  # a call while it was away

    def queue(self, **fields: Any) -> int:
        row = Row(len(self.rows) + 1, self._clock(), **fields)
        self.rows[row.id] = row
        return row.id

    def request_cancel(self, job_id: int) -> None:
        self.rows[job_id] = replace(self.rows[job_id], cancel_requested=True)

    def is_any_due(self, kinds, at):
        self._answer()
        return self._next(kinds) is not None

    def take(self, kinds, owner, lease_until):
        self._answer()
        with self._guard:
            row = self._next(kinds)
            if row is None:
                return None
            self.rows[row.id] = replace(
                row,
                state="running",
                attempts=row.attempts + 1,
                owner=owner,
                lease_until=lease_until,
            )
            return self.rows[row.id]

    def is_cancelled(self, taken):
        self._answer()
        return self.rows[taken.id].cancel_requested if self._is_ours(taken) else None

    def renew(self, taken, lease_until):
        is_ours = self._write(taken, lease_until=lease_until)
        return self.rows[taken.id].cancel_requested if is_ours else None

    def give_back(self, taken):
        return self._write(taken, state="queued", owner=None, attempts=taken.attempts - 1)

    def progress(self, taken, percent, message, detail):
        noted = self.rows[taken.id].detail | dict(detail)
        return self._write(taken, progress=percent, message=message, detail=noted)

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
        right = ("running", taken.owner, taken.attempts)
        return (row.state, row.owner, row.attempts) == right

    def _write(self, taken, **changes):
        self._answer()
        with self._guard:
            is_ours = self._is_ours(taken)
            if is_ours:
                self.rows[taken.id] = replace(self.rows[taken.id], **changes)
            return is_ours

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

        def make(**options: Any) -> InProcessRunner:
            # It looks for jobs when the test says so, unless it is started, and often then.
            times = AttemptTimes(check_s=options.pop("check_s", 0.005), clock=clock)
            runner = LedRunner(store, handlers, **({"poll_s": 0.01} | options), times=times)
            stack.callback(runner.close)
            return runner

        yield make


@pytest.fixture
def runner(make_runner):
    """One whose rounds the test makes itself."""
    return make_runner()


class LedRunner(InProcessRunner):
    """A runner whose looks for jobs the test makes itself."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._owner = f"runner-{id(self)}"
        self._woken = asyncio.Event()

    def take(self) -> None:
        """Look for jobs once."""
        get_loop_thread().run(self.take_due(), SOON_S)

    def wait_for_end(self) -> None:
        """Until no job runs."""

        async def ended() -> None:
            while self._attempts:
                await asyncio.wait(set(self._attempts.values()))

        get_loop_thread().run(ended(), SOON_S)

    def wait_for_checks(self) -> None:
        """Until every attempt has checked its row again, or has ended."""

        async def checked() -> None:
            for attempt in list(self._attempts):
                await attempt._check()

        get_loop_thread().run(checked(), SOON_S)

    def close(self, within_s: float = 0.0) -> None:
        """Also one that was never started has attempts to end."""
        if self._pid is None and self._attempts:
            self._has_ended = asyncio.Event()
            get_loop_thread().run(self._mark_ended())
            self._pid = os.getpid()
        super().close(within_s)

    async def _mark_ended(self) -> None:
        self._has_ended.set()


class Steps:
    """A handler that the test leads: it says that it has begun, and waits to be let go."""

    def __init__(self) -> None:
        self._begun = threading.Semaphore(0)
        self._may_end = asyncio.Event()
        self.works: list[Any] = []

    async def __call__(self, work: Any) -> str:
        self.works.append(work)
        self._begun.release()
        await self._may_end.wait()
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


@pytest.fixture
def run_due(runner) -> Callable[[], None]:
    """Takes what is due and waits for its end."""

    def run() -> None:
        runner.take()
        runner.wait_for_end()

    return run
