"""A runner of jobs within the process: one thread that takes and looks after, one for each job.

The thread that looks after the leases does nothing else that could take long: a handler that
blocks for minutes keeps its job.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from weakref import WeakSet

from xwe.errors import DatabaseUnavailableError, XweError
from xwe.jobs.attempt import (
    Attempt,
    described,
    is_interruption,
    may_help_to_retry,
    was_cancelled,
)
from xwe.jobs.handlers import JobHandlers
from xwe.jobs.store import JobStore, TakenJob
from xwe.jobs.work import Work

log = logging.getLogger(__name__)

# Handlers that are told to end at the process's end get so long to unwind.
UNWIND_WITHIN_S = 2.0

# A lease is prolonged when a third of it has gone: two failures in a row do not lose the job.
_RENEWALS = 3
# Each further wait for another attempt is so many times longer.
_BACKOFF_FACTOR = 4


_runners: WeakSet["InProcessRunner"] = WeakSet()


def utc_now() -> datetime:
    """This instant."""
    return datetime.now(UTC)


class InProcessRunner:
    """Takes jobs that are due and has their handlers do them. Thread-safe.

    Several runners, in as many processes, work on one store. One that dies is followed by another
    when its leases have run out.

    Args:
        store: where the jobs are.
        handlers: who does them.
        workers: how many jobs run at once.
        lease_s: how long a dead runner's job waits for another.
        poll_s: how often it is looked for due jobs without a `wake()`: those that other processes
            have queued, that wait for another attempt, or that were a dead runner's.
        look_s: how soon a cancelled job is told.
        backoff_s: how long a failed job waits for its second attempt; four times that for the
            third.
        clock: the time, as the store has it.
    """

    def __init__(
        self,
        store: JobStore,
        handlers: JobHandlers,
        *,
        workers: int = 8,
        lease_s: float = 30.0,
        poll_s: float = 1.0,
        look_s: float = 0.5,
        backoff_s: float = 2.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._workers = workers
        self._lease = timedelta(seconds=lease_s)
        self._poll_s = poll_s
        self._look_s = look_s
        self._backoff_s = backoff_s
        self._clock = clock
        self._is_draining = False
        self._is_closed = False
        self.begin_anew()
        _runners.add(self)

    def begin_anew(self) -> None:
        """In the child of a fork: threads and locks do not cross it, nor does the leases' owner."""
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._guard = threading.Lock()
        self._woken = threading.Event()
        self._ends = threading.Event()
        self._attempts: dict[Attempt, threading.Thread] = {}
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> int:
        """How many jobs are being done."""
        return len(self._attempts)

    def start(self) -> None:
        """Look for jobs from now on. Idempotent; nothing after `close`."""
        with self._guard:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._serve, name="xwe-jobs", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """There is new work: look at once. Starts the runner. Any thread; does not block."""
        self.start()
        self._woken.set()

    def drain(self) -> None:
        """Take no more jobs; those that run go on."""
        self._is_draining = True

    def close(self, within_s: float = 0.0) -> None:
        """End: what still runs after `within_s` seconds goes to another runner. Idempotent."""
        with self._guard:
            self._is_draining = self._is_closed = True
        self._join_attempts(within_s)
        for attempt in list(self._attempts):
            attempt.work.stop("interrupted")
        self._join_attempts(UNWIND_WITHIN_S)
        self._ends.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
        for attempt in list(self._attempts):  # it does not listen; its writes count no more
            self._persist(attempt, partial(self._store.give_back, attempt.taken))

    def _join_attempts(self, within_s: float) -> None:
        ends_at = time.monotonic() + within_s
        for thread in list(self._attempts.values()):
            thread.join(max(0.0, ends_at - time.monotonic()))

    # --- the runner's own thread ---

    def _serve(self) -> None:
        while not self._ends.is_set():
            self._woken.clear()
            wait_s = self._look_s if self._attempts else self._poll_s
            try:
                self.look_after()
                self.take_due()
            except DatabaseUnavailableError as error:
                log.warning("Jobs wait for the database: %s", error.message)
                wait_s = self._poll_s
            except Exception:  # whatever it is, the leases of those that run depend on this thread
                log.exception("The jobs' runner stumbled")
                wait_s = self._poll_s
            self._woken.wait(wait_s)

    def look_after(self) -> None:
        """Prolong the leases of the jobs that run, and end those that are to end.

        Raises:
            DatabaseUnavailableError: after those that cannot be this runner's any more have ended.
        """
        at = self._clock()
        unavailable: DatabaseUnavailableError | None = None
        for attempt in list(self._attempts):
            try:
                is_asked = self._look_at(attempt, at)
            except DatabaseUnavailableError as error:
                unavailable = error
                is_asked = None if attempt.lease_until < at else False
            if is_asked is None:
                attempt.work.stop("lost")
            elif is_asked:
                attempt.work.stop("cancelled")
        if unavailable is not None:
            raise unavailable

    def _look_at(self, attempt: Attempt, at: datetime) -> bool | None:
        if at < attempt.renew_at:
            return self._store.look(attempt.taken)
        is_asked = self._store.renew(attempt.taken, at + self._lease)
        attempt.lease_until = at + self._lease
        attempt.renew_at = at + self._lease / _RENEWALS
        return is_asked

    def take_due(self) -> None:
        """Begin with as many due jobs as there are workers for.

        Raises:
            DatabaseUnavailableError: it could not be asked.
        """
        kinds = self._handlers.kinds
        while (
            kinds
            and not self._is_draining
            and len(self._attempts) < self._workers
            and self._store.is_any_due(kinds, self._clock())
        ):
            at = self._clock()
            taken = self._store.take(kinds, owner=self._owner, lease_until=at + self._lease)
            if taken is None:
                return
            self._begin(taken, at)

    def _begin(self, taken: TakenJob, at: datetime) -> None:
        handler = self._handlers.find(taken.kind)
        attempt = Attempt(Work(self._store, taken), handler, at + self._lease)
        attempt.renew_at = at + self._lease / _RENEWALS
        thread = threading.Thread(
            target=self._carry_out, args=(attempt,), name=f"xwe-job-{taken.id}", daemon=True
        )
        with self._guard:
            if not self._is_closed:
                self._attempts[attempt] = thread
                try:
                    thread.start()
                except RuntimeError:  # no more threads
                    del self._attempts[attempt]
                    log.exception("Job %d could not begin", taken.id)
                else:
                    return
        self._store.give_back(taken)

    # --- a job's thread ---

    def _carry_out(self, attempt: Attempt) -> None:
        try:
            try:
                result = attempt.call_handler()
                self._persist(attempt, partial(self._store.finish, attempt.taken, result))
            except BaseException as error:  # noqa: BLE001 - a job that calls sys.exit() has failed too
                self._end_badly(attempt, error)
        except Exception:  # the lease runs out, and another runner follows
            log.exception("The end of job %d could not be stored", attempt.taken.id)
        finally:
            del self._attempts[attempt]
            self._woken.set()

    def _end_badly(self, attempt: Attempt, error: BaseException) -> None:
        taken, work = attempt.taken, attempt.work
        if was_cancelled(error, work):
            self._persist(attempt, partial(self._store.cancelled, taken))
        elif work.stopped == "interrupted" or (self._is_draining and is_interruption(error)):
            self._persist(attempt, partial(self._store.give_back, taken))
        elif work.stopped is None:
            text = described(error, taken)
            retry_at = self._retry_at(taken, error)
            self._persist(attempt, partial(self._store.fail, taken, text, retry_at=retry_at))

    def _retry_at(self, taken: TakenJob, error: BaseException) -> datetime | None:
        if not may_help_to_retry(error):
            return None
        wait_s = self._backoff_s * _BACKOFF_FACTOR ** (taken.attempts - 1)
        if isinstance(error, XweError) and error.retry_after_s is not None:
            wait_s = max(wait_s, error.retry_after_s)
        return self._clock() + timedelta(seconds=wait_s)

    def _persist(self, attempt: Attempt, write: Callable[[], Any]) -> None:
        """Store how it ended; while the database is away, for as long as the job is ours."""
        while True:
            try:
                write()
            except DatabaseUnavailableError:
                if self._ends.wait(self._poll_s) or self._clock() > attempt.lease_until:
                    raise
            else:
                return


def _begin_anew() -> None:
    for runner in _runners:
        runner.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)
