"""Watching tasks: each state of one as an event, whichever process works on it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import orjson

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DatabaseUnavailableError, NotFoundError, SaturatedError
from xwe.services.database_threads import in_database
from xwe.services.task_news import FINAL_STATUSES
from xwe.streams.live_stream import LiveStream, StreamReader
from xwe.streams.live_streams import LiveStreams
from xwe.streams.notifications import Notifications

log = logging.getLogger(__name__)

Look = Callable[[int, int], dict[str, Any]]


class TaskWatches:
    """Those who watch a task, in this process. Thread-safe.

    Args:
        look: reads the task of a user; blocks.
        notifications: where changes of this process are heard of.
        poll_s: how often it is looked otherwise.
    """

    def __init__(self, look: Look, notifications: Notifications, poll_s: float) -> None:
        self._look = look
        self._notifications = notifications
        self._poll_s = poll_s
        self._has_ended = False
        self._wakes: set[Callable[[], object]] = set()

    def begin(self, user_id: int, task_id: int) -> StreamReader:
        """A reader of the task's states from now on; the feeding ends when it is closed.

        Raises:
            NotFoundError: the user has no such task.
        """
        shown = self._look(user_id, task_id)
        loop, news = get_loop_thread().loop, asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody watches
                loop.call_soon_threadsafe(news.set)

        stream = LiveStream(LiveStreams.new_id(), str(user_id), on_readers=lambda _: wake())
        stream.append(orjson.dumps(shown))
        reader = stream.join()
        self._wakes.add(wake)
        subscription = self._notifications.subscribe(str(user_id), wake)

        def clean_up(feeding: Future[None] | None = None) -> None:
            if feeding is not None and not feeding.cancelled() and feeding.exception() is not None:
                log.error("The watching of a task broke", exc_info=feeding.exception())
            self._wakes.discard(wake)
            subscription.close()
            stream.finish()

        try:
            look = partial(self._look, user_id, task_id)
            feeding = get_loop_thread().submit(self._feed(stream, look, shown, news))
        except BaseException:
            clean_up()
            reader.close()
            raise
        feeding.add_done_callback(clean_up)
        return reader

    def end(self) -> None:
        """End all of them, and those that begin later. Idempotent."""
        self._has_ended = True
        for wake in list(self._wakes):
            wake()

    async def _feed(
        self,
        stream: LiveStream,
        look: Callable[[], dict[str, Any]],
        shown: dict[str, Any],
        news: asyncio.Event,
    ) -> None:
        while shown["status"] not in FINAL_STATUSES:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await news.wait()
            news.clear()
            if self._has_ended or not stream.readers:
                return
            try:
                seen = await in_database(look)
            except NotFoundError:  # gone, with its user
                return
            except (DatabaseUnavailableError, SaturatedError) as error:
                log.warning("A watched task cannot be looked at: %s", error.message)
                continue
            if _without_time(seen) != _without_time(shown):
                shown = seen
                stream.append(orjson.dumps(seen))


def _without_time(view: dict[str, Any]) -> dict[str, Any]:
    # It grows by itself, which readers can do by themselves.
    return {name: value for name, value in view.items() if name != "elapsed_sec"}
