"""What a job's handler is given: the job, and the way to tell and to be told."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

from xwe.errors import DatabaseUnavailableError, JobCancelledError, JobLostError
from xwe.jobs.store import JobStore, TakenJob

log = logging.getLogger(__name__)

StopReason = Literal["cancelled", "lost", "interrupted"]
"""Its owner has cancelled it; another runner has it; this process is about to end."""


class Work:
    """One attempt at one job. Thread-safe.

    Attributes:
        taken: the job, for what is written together with it.
        key: names the work, the same at each attempt: for effects that must not happen twice.
    """

    def __init__(self, store: JobStore, taken: TakenJob) -> None:
        self._store = store
        self.taken = taken
        self.key = f"job-{taken.id}"
        self._guard = threading.Lock()
        self._stopped: StopReason | None = None
        self._on_stop: Callable[[], object] | None = None

    @property
    def payload(self) -> Mapping[str, Any]:
        """What is to be done."""
        return self.taken.payload

    @property
    def user_id(self) -> int | None:
        """For whom."""
        return self.taken.user_id

    @property
    def detail(self) -> Mapping[str, Any]:
        """What earlier attempts have noted with their progress."""
        return self.taken.detail

    @property
    def attempt(self) -> int:
        """The how manieth it is, from 1 on."""
        return self.taken.attempts

    @property
    def stopped(self) -> StopReason | None:
        """Why it is to end; None while it may go on."""
        return self._stopped

    def is_cancelled(self) -> bool:
        """Whether to end now: it was cancelled, or is not this runner's any more."""
        return self._stopped is not None

    def check(self) -> None:
        """Go on, or not: to be asked between two steps. A coroutine is cancelled without asking.

        Raises:
            JobCancelledError: its owner has cancelled it.
            JobLostError: another runner takes it up.
        """
        if self._stopped == "cancelled":
            raise JobCancelledError
        if self._stopped is not None:
            raise JobLostError

    def progress(
        self, percent: float, message: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Say how far it is. It blocks: a coroutine calls `progress_async`.

        Args:
            percent: from 0 to 100.
            message: a short line for people.
            detail: its keys join those that were told before.

        Raises:
            JobCancelledError, JobLostError: as `check`.
        """
        self.check()
        try:
            is_ours = self._store.progress(
                self.taken,
                percent=min(100, max(0, round(percent))),
                message=message,
                detail=detail,
            )
        except DatabaseUnavailableError:
            # The work itself is not worse for it; it stores its effects, or fails, by itself.
            log.warning("The progress of job %d could not be stored", self.taken.id)
            return
        if not is_ours:
            self.stop("lost")
            self.check()

    async def progress_async(
        self, percent: float, message: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """As `progress`, for coroutines."""
        await asyncio.to_thread(self.progress, percent, message, detail)

    def tell(self) -> None:
        """Tell whoever listens how it stands: for after a commit that has changed the job too."""
        self._store.tell(self.taken)

    # --- the runner's side ---

    def stop(self, reason: StopReason) -> None:
        """Have the work end; the first reason stands. Any thread; does not block."""
        with self._guard:
            if self._stopped is not None:
                return
            self._stopped = reason
            on_stop = self._on_stop
        if on_stop is not None:
            on_stop()

    def call_on_stop(self, on_stop: Callable[[], object]) -> None:
        """Have `on_stop` called when the work is to end, at once if it is already."""
        with self._guard:
            self._on_stop = on_stop
            is_stopped = self._stopped is not None
        if is_stopped:
            on_stop()
