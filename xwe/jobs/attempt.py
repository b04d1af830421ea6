"""One attempt: the handler's call, in the thread that it has to itself, and how it ended."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import ClosedError, DrainingError, JobCancelledError, JobLostError, XweError
from xwe.jobs.handlers import Handler
from xwe.jobs.store import TakenJob
from xwe.jobs.work import Work

log = logging.getLogger(__name__)


class Attempt:
    """A job that is being done.

    Attributes:
        work: what its handler has been given.
        lease_until: until when it is this runner's; the runner's to prolong.
        renew_at: when the runner does so next.
    """

    def __init__(self, work: Work, handler: Handler, lease_until: datetime) -> None:
        self.work = work
        self.lease_until = lease_until
        self.renew_at = lease_until
        self._handler = handler

    @property
    def taken(self) -> TakenJob:
        """The job."""
        return self.work.taken

    def call_handler(self) -> Any:
        """The handler's result. In a thread of its own; a coroutine runs on the resident loop."""
        result = self._handler(self.work)
        if not inspect.iscoroutine(result):
            return result
        task = get_loop_thread().run(_end_of(result, self.work))
        if task.cancelled():
            # Cancelled by the runner, or by itself: then it has failed.
            self.work.check()
            raise JobLostError("The work was cancelled from within.")
        return task.result()


async def _end_of(coro: Coroutine[Any, Any, Any], work: Work) -> asyncio.Task[Any]:
    """The ended task of `coro`, which is cancelled when the work is to end.

    Waited for to its real end: what it does while it unwinds belongs to the attempt.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(coro)

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and everything cancelled
            loop.call_soon_threadsafe(task.cancel)

    work.call_on_stop(cancel)
    await asyncio.wait({task})
    return task


def is_interruption(error: BaseException) -> bool:
    """Whether the attempt ended because the process does: no fault of the job's."""
    return isinstance(error, DrainingError | ClosedError)


def may_help_to_retry(error: BaseException) -> bool:
    """Whether another attempt may go better; what is known to fail again is not tried again."""
    return not isinstance(error, XweError) or error.retryable or isinstance(error, JobLostError)


def described(error: BaseException, taken: TakenJob) -> str:
    """What the job's user is told; what went wrong on this side is written to the log instead."""
    if isinstance(error, XweError) and type(error) is not XweError:
        log.warning("Job %d (%s) failed: %s", taken.id, taken.kind, error.message)
        return error.message
    log.error("Job %d (%s) failed", taken.id, taken.kind, exc_info=error)
    return f"Something went wrong on this side; its log knows it as job {taken.id}."


def was_cancelled(error: BaseException, work: Work) -> bool:
    """Whether the attempt ended as its user has asked."""
    return work.stopped == "cancelled" or isinstance(error, JobCancelledError)
