"""Answers that another process makes, read through the snapshots that it stores."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import XweError
from xwe.services.chats.keeping import RENEW_AFTER
from xwe.services.chats.reading import ChatReading
from xwe.services.chats.rebuilding import PART_ID, closing_events, has_ended, opening_events
from xwe.services.chats.values import ChatTimes
from xwe.services.database_threads import in_database
from xwe.services.pauses import Pauses
from xwe.storage.records import Message
from xwe.streams import ui_messages
from xwe.streams.live_stream import LiveStream

log = logging.getLogger(__name__)

# A page that is loaded again is away for a moment: only after so many looks in a row without a
# reader is an answer followed no more.
UNREAD_LOOKS = 20


class Followers:
    """One stream for each answer that is followed, for all its readers here.

    Args:
        reading: reads the answer's row.
        times: how often, and how long it holds that an answer is read here.
        say_read: tells that to who makes it, by the generation's id; None where nobody asks.
    """

    _followed: dict[str, tuple[LiveStream, Future[None]]]

    def __init__(
        self,
        reading: ChatReading,
        times: ChatTimes,
        say_read: Callable[[str], None] | None = None,
    ) -> None:
        self._reading = reading
        self._times = times
        self._say_read = say_read
        self._pauses = Pauses()
        self._guard = threading.Lock()
        self._followed = {}

    def follow(self, user_id: int, answer: Message) -> LiveStream:
        """The stream of an answer that is being made elsewhere."""
        generation_id = answer.generation_id or ""
        with self._guard:
            known = self._followed.get(generation_id)
            if known is not None and not known[0].is_finished:
                return known[0]
            stream = LiveStream(generation_id, str(user_id))
            task = get_loop_thread().submit(self._fill(stream, user_id, answer))
            self._followed[generation_id] = stream, task
        return stream

    def close(self) -> None:
        """Follow no more; the readers are told to come back. Idempotent."""
        with self._guard:
            followed = list(self._followed.values())
        self._pauses.end([task for _, task in followed])

    async def _fill(self, stream: LiveStream, user_id: int, answer: Message) -> None:
        last = ui_messages.SHUTDOWN
        try:
            for event in opening_events(answer):
                stream.append(event)
            last = await self._copy(stream, user_id, answer)
        except XweError as error:
            last = ui_messages.error(error)
        except Exception:
            log.exception("Following answer %s failed", stream.stream_id)
            last = ui_messages.INTERNAL_ERROR
        finally:
            stream.append(last)
            stream.finish()
            with self._guard:
                self._followed.pop(stream.stream_id, None)

    async def _copy(self, stream: LiveStream, user_id: int, answer: Message) -> bytes:
        """Add the text as it grows; the last event."""
        sent = 0
        unread_looks = 0
        say_again_at = 0.0
        while True:
            if len(answer.content) > sent:
                if not sent:
                    stream.append(ui_messages.event("text-start", id=PART_ID))
                stream.append(ui_messages.delta("text", PART_ID, answer.content[sent:]))
                sent = len(answer.content)
            if has_ended(answer):
                break
            unread_looks = 0 if stream.readers else unread_looks + 1
            if unread_looks > UNREAD_LOOKS:
                return ui_messages.SHUTDOWN
            if stream.readers and time.monotonic() >= say_again_at:
                say_again_at = time.monotonic() + self._times.read_s * RENEW_AFTER
                await self._tell(stream.stream_id)
            if not await self._pauses.pause(self._times.follow_s):
                return ui_messages.SHUTDOWN
            answer = await in_database(self._reading.answer, user_id, stream.stream_id)
        if sent:
            stream.append(ui_messages.event("text-end", id=PART_ID))
        *others, last = closing_events(answer)
        for event in others:
            stream.append(event)
        return last

    async def _tell(self, generation_id: str) -> None:
        if self._say_read is None:
            return
        try:
            await in_database(self._say_read, generation_id)
        except XweError as error:  # it holds for several of these
            log.warning("That answer %s is read here could not be told: %s", generation_id, error)
