"""The runner of jobs within this process: each job is a task on the resident loop."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Mapping
from datetime import timedelta

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import ClosedError, DeadlineExceededError
from xwe.jobs.attempt import DATABASE_IS_AWAY, Attempt, AttemptTimes
from xwe.jobs.rows import JobRows
from xwe.jobs.work import Handler
from xwe.storage.database_threads import in_database

log = logging.getLogger(__name__)

# How long handlers that were cancelled by `close` may take to unwind.
UNWIND_WITHIN_S = 2.0
# A bound for storing what is left at `close`: an unavailable database takes this long to give up.
END_WITHIN_S = 30.0


class InProcessRunner:
    """Takes jobs that are due and runs their handlers. Thread-safe.

    Several runners, in as many processes, may share the rows. When one dies, the others take its
    jobs as their leases expire.

    Args:
        rows: stores the jobs.
        handlers: the handlers by kind; may be filled later, and is read at each look for jobs.
        workers: how many jobs run at once.
        poll_s: how often to look for jobs without a `wake()`: jobs queued by other processes, jobs
            due for another attempt, jobs of runners that died.
        times: the durations of each attempt.
    """

    def __init__(
        self,
        rows: JobRows,
        handlers: Mapping[str, Handler],
        *,
        workers: int = 8,
        poll_s: float = 1.0,
        times: AttemptTimes | None = None,
    ) -> None:
        self._rows = rows
        self._handlers = handlers
        self._workers = workers
        self._poll_s = poll_s
        self._times = times or AttemptTimes()
        self._guard = threading.Lock()
        self._pid: int | None = None
        self._is_draining = False
        self._is_closed = False
        self._attempts: dict[Attempt, asyncio.Task[None]] = {}

    @property
    def running(self) -> int:
        """The number of running jobs."""
        return len(self._attempts)

    def start(self) -> None:
        """Begin to look for jobs, in this process. Idempotent; does nothing after `close`."""
        with self._guard:
            if self._pid == os.getpid() or self._is_closed:
                return
            # The loop does not survive a fork, and the leases stay with the parent.
            self._pid = os.getpid()
            self._owner = f"{socket.gethostname()}:{self._pid}:{secrets.token_hex(4)}"
            self._woken = asyncio.Event()
            self._has_ended = asyncio.Event()
            self._attempts = {}
            get_loop_thread().submit(self._serve())

    def wake(self) -> None:
        """Look now: a job was queued or cancelled. Any thread; does not block."""
        self.start()
        if not self._is_closed:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                get_loop_thread().loop.call_soon_threadsafe(self._look_now)

    def drain(self) -> None:
        """Take no more jobs; running ones continue."""
        self._is_draining = True

    def close(self, within_s: float = 0.0) -> None:
        """Stop. Jobs that still run after `within_s` seconds return to the queue. Idempotent."""
        with self._guard:
            self._is_draining = self._is_closed = True
            is_ours = self._pid == os.getpid()
        if is_ours:
            # A loop that is closed has cancelled its tasks; one that is blocked is not waited for.
            with contextlib.suppress(ClosedError, DeadlineExceededError):
                get_loop_thread().run(self._end(within_s), within_s + END_WITHIN_S)

    # --- on the loop ---

    async def _serve(self) -> None:
        try:
            while not self._is_closed:
                self._woken.clear()
                try:
                    await self.take_due()
                except DATABASE_IS_AWAY as error:
                    log.warning("Jobs wait for the database: %s", error.message)
                except Exception:  # any error: without this loop, no job is ever taken again
                    log.exception("The runner of jobs stumbled")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._woken.wait()
        finally:
            self._has_ended.set()

    def _look_now(self) -> None:
        self._woken.set()
        for attempt in self._attempts:
            attempt.check_now()

    async def take_due(self) -> None:
        """Take and start due jobs until all workers are busy.

        Raises:
            DatabaseUnavailableError, SaturatedError: the rows could not be read or written.
        """
        clock, lease = self._times.clock, timedelta(seconds=self._times.lease_s)
        kinds = list(self._handlers)
        while (
            kinds
            and not self._is_draining
            and len(self._attempts) < self._workers
            and await in_database(self._rows.is_any_due, kinds, clock())
        ):
            at = clock()
            job = await in_database(self._rows.take, kinds, self._owner, at + lease)
            if job is None:
                return
            attempt = Attempt(self._rows, job, self._handlers[job.kind], self._times, at)
            if self._is_closed:
                await attempt.give_up()
            else:
                self._attempts[attempt] = asyncio.create_task(self._carry_out(attempt))

    async def _carry_out(self, attempt: Attempt) -> None:
        try:
            await attempt.run()
        except Exception:  # the lease expires, and another runner takes the job
            log.exception("The end of job %d could not be stored", attempt.job.id)
        finally:
            del self._attempts[attempt]
            self._woken.set()

    async def _end(self, within_s: float) -> None:
        self._woken.set()
        await self._has_ended.wait()
        await self._wait_for_attempts(within_s)
        for attempt in list(self._attempts):
            attempt.stop("interrupted")
        await self._wait_for_attempts(UNWIND_WITHIN_S)
        for attempt in list(self._attempts):  # its handler ignores the cancellation
            with contextlib.suppress(*DATABASE_IS_AWAY):
                await attempt.give_up()

    async def _wait_for_attempts(self, within_s: float) -> None:
        if self._attempts:
            await asyncio.wait(set(self._attempts.values()), timeout=within_s)
