"""Watching a task: its states as they change, whichever process runs the job."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import orjson

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DatabaseUnavailableError, NotFoundError, SaturatedError
from xwe.storage.database_threads import in_database
from xwe.streams.answer import Answer, AnswerReader, Outcome
from xwe.streams.answers import Answers
from xwe.streams.notifications import Notifications

log = logging.getLogger(__name__)

View = dict[str, Any]

FINAL_STATUSES = frozenset({"done", "error", "cancelled"})


class TaskEncoder:
    """Turns the states of a task into events: each is the JSON that the HTTP API shows."""

    text = ""

    def open(self) -> list[bytes]:
        """No event precedes the first state."""
        return []

    def feed(self, state: View) -> list[bytes]:
        """One event a state."""
        return [orjson.dumps(state)]

    def close(self, outcome: Outcome) -> list[bytes]:  # noqa: ARG002 - the last state says it
        """No event follows the last state."""
        return []


class TaskWatches:
    """The watches of this process. Thread-safe.

    Args:
        read: reads a user's task, given the ids of both; blocks.
        notifications: tell of changes in this process.
        poll_s: how often a task is read without a notification.
    """

    def __init__(
        self, read: Callable[[int, int], View], notifications: Notifications, poll_s: float
    ) -> None:
        self._read = read
        self._notifications = notifications
        self._poll_s = poll_s
        self._has_ended = False
        self._wakes: set[Callable[[], object]] = set()

    def begin(self, user_id: int, task_id: int) -> AnswerReader:
        """The task's states from now on, for one reader. The watch ends when it is closed.

        Raises:
            NotFoundError: the user has no such task.
        """
        loop, changed = get_loop_thread().loop, asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(changed.set)

        # Before the first read, so that no change falls between the two.
        subscription = self._notifications.subscribe(str(user_id), wake)
        self._wakes.add(wake)

        def forget() -> None:
            self._wakes.discard(wake)
            subscription.close()

        async def before_end(_outcome: Outcome) -> None:
            forget()

        answer = Answer(Answers.new_id(), str(user_id), unread_s=0.0)
        reader = answer.join()
        try:
            shown = self._read(user_id, task_id)
            answer.start(self._states(user_id, task_id, shown, changed), TaskEncoder(), before_end)
        except BaseException:
            reader.close()
            forget()
            raise
        return reader

    def end(self) -> None:
        """End all watches, including later ones. Idempotent."""
        self._has_ended = True
        for wake in list(self._wakes):
            wake()

    async def _states(
        self, user_id: int, task_id: int, shown: View, changed: asyncio.Event
    ) -> AsyncGenerator[View, None]:
        """The state `shown`, then each that differs, until a final one."""
        yield shown
        while shown["status"] not in FINAL_STATUSES:
            if not self._has_ended:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await changed.wait()
            changed.clear()
            if self._has_ended:
                return
            try:
                seen = await in_database(self._read, user_id, task_id)
            except NotFoundError:  # deleted, with its user
                return
            except (DatabaseUnavailableError, SaturatedError) as error:
                log.warning("A watched task cannot be read: %s", error.message)
                continue
            if _without_time(seen) != _without_time(shown):
                shown = seen
                yield shown


def _without_time(view: View) -> View:
    # Readers can count the seconds themselves.
    return {name: value for name, value in view.items() if name != "elapsed_sec"}
