"""A runner of jobs within the process: each job is a task on the resident loop."""

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

# Handlers that are cancelled at the process's end get so long to unwind.
UNWIND_WITHIN_S = 2.0
# The whole end, besides the time that attempts are given, takes no longer than the database does.
END_WITHIN_S = 30.0


class InProcessRunner:
    """Takes jobs that are due and has their handlers do them. Thread-safe.

    Several runners, in as many processes, work on the same rows. One that dies is followed by
    another when its leases have run out.

    Args:
        rows: where the jobs are.
        handlers: who does which kind; read at each look for jobs.
        workers: the number of jobs that run at once.
        poll_s: how often due jobs are looked for without a `wake()`: those that other processes
            have queued, that wait for another attempt, or that were a dead runner's.
        times: of each attempt.
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
        """The number of jobs that run."""
        return len(self._attempts)

    def start(self) -> None:
        """Look for jobs from now on, in this process. Idempotent; nothing after `close`."""
        with self._guard:
            if self._pid == os.getpid() or self._is_closed:
                return
            # Nothing of the loop crosses a fork, and the leases stay with the parent.
            self._pid = os.getpid()
            self._owner = f"{socket.gethostname()}:{self._pid}:{secrets.token_hex(4)}"
            self._woken = asyncio.Event()
            self._has_ended = asyncio.Event()
            self._attempts = {}
            get_loop_thread().submit(self._serve())

    def wake(self) -> None:
        """Look at once: a job was queued or cancelled. Any thread; does not block."""
        self.start()
        if not self._is_closed:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                get_loop_thread().loop.call_soon_threadsafe(self._woken.set)

    def drain(self) -> None:
        """Take no more jobs; those that run go on."""
        self._is_draining = True

    def close(self, within_s: float = 0.0) -> None:
        """End: what still runs after `within_s` seconds goes to another runner. Idempotent."""
        with self._guard:
            self._is_draining = self._is_closed = True
            is_ours = self._pid == os.getpid()
        if is_ours:
            # A closed loop has cancelled all its tasks; one that stands still is not waited for.
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
                except Exception:  # whatever it is, nobody else looks for jobs
                    log.exception("The runner of jobs stumbled")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._woken.wait()
                    for attempt in self._attempts:
                        attempt.check_now()
        finally:
            self._has_ended.set()

    async def take_due(self) -> None:
        """Begin as many due jobs as there are workers for.

        Raises:
            DatabaseUnavailableError, SaturatedError: the rows could not be read.
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
        except Exception:  # the lease runs out, and another runner follows
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
        for attempt in list(self._attempts):  # it does not listen
            with contextlib.suppress(*DATABASE_IS_AWAY):
                await attempt.give_up()

    async def _wait_for_attempts(self, within_s: float) -> None:
        if self._attempts:
            await asyncio.wait(set(self._attempts.values()), timeout=within_s)
