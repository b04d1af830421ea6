"""A stored answer as an answer again: for readers who come late, or to another process."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable

from xwe import errors
from xwe.errors import XweError
from xwe.services.chats.reading import ChatReading
from xwe.services.chats.values import ChatTimes
from xwe.storage.database_threads import in_database
from xwe.storage.records import Message
from xwe.storage.repositories.messages import FINAL_STATUSES
from xwe.streams import ui_messages
from xwe.streams.answer import COMPLETE, SHUTDOWN, Answer, Outcome

log = logging.getLogger(__name__)

PART_ID = "text-1"

# A page that is loaded again is away for a moment: an answer is followed for so long without it.
UNREAD_S = 10.0

# How often the maker of an answer hears that it is read here, in parts of the time that holds.
SAY_READ_AFTER = 1 / 3

# At the end of the process, the readers' last events are waited for so long.
END_WITHIN_S = 5.0

# What a message may have ended with; each is made without arguments.
_BY_CODE: dict[str, type[XweError]] = {
    kind.code: kind
    for kind in (
        errors.SaturatedError,
        errors.DrainingError,
        errors.LimitExceededError,
        errors.ClosedError,
        errors.DeadlineExceededError,
        errors.DatabaseUnavailableError,
        errors.ProviderError,
        errors.ProviderTimeoutError,
        errors.ProviderAuthError,
        errors.ProviderRateLimitedError,
        errors.ProviderBadReplyError,
        errors.StreamInterruptedError,
        errors.CircuitOpenError,
        errors.AnswerLostError,
    )
}


def has_ended(row: Message) -> bool:
    """Whether nothing will be added to it."""
    return row.status in FINAL_STATUSES


def stored_error(row: Message) -> XweError:
    """The error that ended the answer; an unknown code is a provider's."""
    kind = _BY_CODE.get(row.error_code or "", errors.ProviderError)
    return kind()


def data_turn(row: Message, asked: Message | None = None) -> bytes:
    """The event that names the rows of the answer and of the question, for pages."""
    data = {
        "message_id": row.id,
        "seq": row.place,
        "user_message_id": None if asked is None else asked.id,
        "variant_of": row.variant_of,
    }
    return ui_messages.event("data-turn", data=data, transient=True)


class RowEncoder:
    """The events of an answer's row, each time it has grown."""

    def __init__(self, row: Message) -> None:
        self._row = row
        self._sent_chars = 0

    @property
    def text(self) -> str:
        """What has been said so far."""
        return self._row.content

    def open(self) -> list[bytes]:
        """What comes before the text."""
        start = ui_messages.start(self._row.generation_id or "")
        return [start, data_turn(self._row), ui_messages.START_STEP]

    def feed(self, row: Message) -> list[bytes]:
        """What has been added to the text."""
        self._row = row
        new = row.content[self._sent_chars :]
        if not new:
            return []
        grown = ui_messages.delta("text", PART_ID, new)
        is_first, self._sent_chars = not self._sent_chars, len(row.content)
        return [ui_messages.event("text-start", id=PART_ID), grown] if is_first else [grown]

    def close(self, outcome: Outcome) -> list[bytes]:
        """What comes after the text: the end that is stored, or why it is not known."""
        if outcome.kind == "failed":
            return ui_messages.closing(outcome)
        if outcome.kind != "complete":
            return [ui_messages.SHUTDOWN]
        end = [ui_messages.event("text-end", id=PART_ID)] if self._sent_chars else []
        if self._row.status == "complete":
            return [*end, ui_messages.FINISH_STEP, ui_messages.event("finish")]
        if self._row.status == "cancelled":
            return [*end, ui_messages.ABORT]
        return [*end, ui_messages.error(stored_error(self._row))]


def replayed(row: Message, owner: str) -> Answer:
    """An answer that has ended, as it is stored."""
    encoder = RowEncoder(row)
    events = [*encoder.open(), *encoder.feed(row), *encoder.close(COMPLETE)]
    return Answer.ended(row.generation_id or "", owner, events)


class Followers:
    """Answers that other processes make, read through the texts that they store.

    Args:
        reading: reads the answer's row.
        times: how often, and how long it holds that an answer is read here.
        say_read: reports that to the maker of an answer, by the generation's id; None where
            answers do not end for want of readers.
    """

    def __init__(
        self,
        reading: ChatReading,
        times: ChatTimes,
        say_read: Callable[[str], None] | None = None,
    ) -> None:
        self._reading = reading
        self._times = times
        self._say_read = say_read
        self._guard = threading.Lock()
        self._followed: dict[str, Answer] = {}

    def follow(self, user_id: int, row: Message) -> Answer:
        """The answer of that row; one for all its readers here."""
        answer_id = row.generation_id or ""
        with self._guard:
            known = self._followed.get(answer_id)
            if known is not None and known.outcome is None:
                return known
            answer = self._followed[answer_id] = Answer(
                answer_id,
                str(user_id),
                unread_s=UNREAD_S,
                on_released=self._forget,
            )
        with answer:
            return answer.start(self._rows(answer, user_id, row), RowEncoder(row))

    def close(self) -> None:
        """Follow no more; the readers are told to come back. Idempotent."""
        with self._guard:
            followed = list(self._followed.values())
        for answer in followed:
            answer.end(SHUTDOWN)
        for answer in followed:
            answer.wait(END_WITHIN_S)

    def _forget(self, answer: Answer) -> None:
        with self._guard:
            if self._followed.get(answer.answer_id) is answer:
                del self._followed[answer.answer_id]

    async def _rows(
        self, answer: Answer, user_id: int, row: Message
    ) -> AsyncGenerator[Message, None]:
        say_again_at = 0.0
        yield row
        while not has_ended(row):
            if self._say_read and answer.readers and time.monotonic() >= say_again_at:
                say_again_at = time.monotonic() + self._times.read_s * SAY_READ_AFTER
                await self._report_read(self._say_read, answer.answer_id)
            await asyncio.sleep(self._times.follow_s)
            row = await in_database(self._reading.answer, user_id, answer.answer_id)
            yield row

    async def _report_read(self, say_read: Callable[[str], None], answer_id: str) -> None:
        try:
            await in_database(say_read, answer_id)
        except XweError as error:  # one report holds for several of these
            log.warning("Could not report that answer %s is read here: %s", answer_id, error)
