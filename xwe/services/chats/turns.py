"""The transactions of a turn: one that opens it, one that ends it, none across the model call."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from xwe.core.nlp.completion import usage_fields
from xwe.errors import (
    IdempotencyClashError,
    InvalidRequestError,
    NotFoundError,
)
from xwe.services.chats.prompts import make_prompt
from xwe.services.chats.reading import found_character
from xwe.services.chats.values import (
    ChatTimes,
    Ending,
    Opened,
    PromptLimits,
    Repeated,
)
from xwe.storage.database import Database
from xwe.storage.records import (
    Character,
    Conversation,
    GenerationStatus,
    Message,
    MessageStatus,
    Spoken,
)
from xwe.storage.repositories import conversations, generations, memories, messages, users
from xwe.storage.rows import now
from xwe.storage.units import Reading, Writing
from xwe.streams.answer import Answer
from xwe.streams.answers import Answers, too_many_running

_GENERATION_STATUS: dict[MessageStatus, GenerationStatus] = {
    "complete": "complete",
    "partial": "partial",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class _Opening:
    """The transaction that opens a turn; `undo` runs if it fails."""

    writing: Writing
    character: Character
    conversation: Conversation
    undo: ExitStack


class Turns:
    """Opens and ends turns in the database; blocks.

    Args:
        database: stores the turns.
        owner: a name for this process that no other has.
        times: how long a lease lasts, and a report that an answer is read.
        limits: how much goes into a prompt.
        reserve: a slot for an owner's answer of that id, in this process.
        max_running_each: the most answers that run for one user at once; None for no limit.
    """

    def __init__(
        self,
        database: Database,
        owner: str,
        times: ChatTimes,
        limits: PromptLimits,
        *,
        reserve: Callable[[str, str], Answer],
        max_running_each: int | None = None,
    ) -> None:
        self._database = database
        self._owner = owner
        self._lease = timedelta(seconds=times.lease_s)
        self._read = timedelta(seconds=times.read_s)
        self._limits = limits
        self._reserve = reserve
        self._max_running_each = max_running_each

    def say(
        self, user_id: int, role: str, content: str, client_id: str | None
    ) -> Opened | Repeated:
        """Store what the user says, and open the turn that answers it.

        A message with a known `client_id` is not stored again; it is answered again if its answer
        is empty.

        Raises:
            NotFoundError: the user has no such character.
            GenerationRunningError: the conversation is being answered already.
            IdempotencyClashError: the `client_id` came with something else.
            LimitExceededError: the user has too many running answers.
            SaturatedError: this process has too many running answers.
            DrainingError: the process is about to end.
        """
        with self._opening(user_id, role) as opening:
            before = _said_before(opening, client_id, content)
            if before is None:
                return self._open_said(opening, content, client_id)
            return self._repeat(opening, before)

    def regenerate(
        self, user_id: int, role: str, message_id: int, client_id: str | None
    ) -> Opened | Repeated:
        """Open a turn that answers the same message again; the new answer is a variant.

        A known `client_id` is treated as in `say`.

        Raises: as `say`; NotFoundError: also when the character has said no such thing;
        InvalidRequestError: it is not an answer.
        """
        with self._opening(user_id, role) as opening:
            original = messages.get(opening.writing, opening.conversation.id, message_id)
            if original is None:
                raise NotFoundError
            before = _made_anew_before(opening, client_id, original)
            if before is not None:
                return self._repeat(opening, before)
            if not _is_answer(opening.writing, original):
                raise InvalidRequestError("Only an answer can be made anew.", field="message_id")
            return self._open_variant(opening, original, client_id)

    @contextmanager
    def _opening(self, user_id: int, role: str) -> Iterator[_Opening]:
        """The transaction; if it fails, the reserved slot is given back too."""
        with ExitStack() as undo:
            with self._database.write() as writing:
                # A second request with the same message waits here, and then finds it stored.
                users.take_turn(writing, user_id)
                character = found_character(writing, user_id, role)
                conversation = conversations.for_character(writing, user_id, character.id)
                yield _Opening(writing, character, conversation, undo)
            undo.pop_all()

    def _repeat(self, opening: _Opening, before: Message) -> Opened | Repeated:
        """The earlier request of the same key; answered again if its answer is empty."""
        if before.status != "failed" and (before.status != "partial" or before.content):
            return Repeated(opening.character.user_id, before)
        if before.client_id is not None:
            messages.forget_client_id(opening.writing, before.id)
        return self._open_variant(opening, before, before.client_id)

    def _open_said(self, opening: _Opening, content: str, client_id: str | None) -> Opened:
        writing, character = opening.writing, opening.character
        conversation = opening.conversation
        reserved = self._begin(opening)
        just_written = []
        if conversation.next_seq == 1 and character.first_message:
            just_written.append(_append_greeting(writing, conversation.id, character))
        asked = messages.append(
            writing,
            conversation.id,
            sender_type="user",
            sender_id=character.user_id,
            content=content,
            client_id=client_id,
        )
        answer = messages.append(
            writing,
            conversation.id,
            sender_type="character",
            sender_id=character.id,
            content="",
            status="streaming",
            generation_id=reserved.answer_id,
        )
        said = self._said(writing, [*just_written, asked], is_new=conversation.next_seq == 1)
        return self._opened(opening, reserved, answer, said, asked)

    def _open_variant(self, opening: _Opening, original: Message, client_id: str | None) -> Opened:
        reserved = self._begin(opening)
        answer = messages.append(
            opening.writing,
            opening.conversation.id,
            sender_type="character",
            sender_id=opening.character.id,
            content="",
            status="streaming",
            generation_id=reserved.answer_id,
            variant_of=original.id,
            client_id=client_id,
        )
        said = messages.spoken_before(
            opening.writing, answer.conversation_id, answer.place, limit=self._limits.max_messages
        )
        return replace(self._opened(opening, reserved, answer, said), instead_of=original.id)

    def _begin(self, opening: _Opening) -> Answer:
        """Take the conversation's one slot for an answer, and one of this process."""
        writing, user_id = opening.writing, opening.character.user_id
        generation_id = Answers.new_id()
        generations.begin(
            writing,
            generation_id,
            conversation_id=opening.conversation.id,
            owner=self._owner,
            lease_until=now() + self._lease,
        )
        running = generations.running_count(writing, user_id) - 1
        if self._max_running_each is not None and running >= self._max_running_each:
            raise too_many_running(running)
        return opening.undo.enter_context(self._reserve(str(user_id), generation_id))

    def _said(self, reading: Reading, just_written: list[Message], *, is_new: bool) -> list[Spoken]:
        """What was said before the answer, newest first, without reading back what was written."""
        first = just_written[0]
        said = [
            Spoken(row.sender_type, row.sender_id, row.content) for row in reversed(just_written)
        ]
        if is_new:
            return said
        limit = self._limits.max_messages - len(said)
        return said + messages.spoken_before(
            reading, first.conversation_id, first.place, limit=limit
        )

    def _opened(
        self,
        opening: _Opening,
        reserved: Answer,
        row: Message,
        said: Sequence[Spoken],
        asked: Message | None = None,
    ) -> Opened:
        character = opening.character
        remembered = memories.listed(opening.writing, character.id)
        return Opened(
            user_id=character.user_id,
            role=character.name,
            answer=reserved,
            row=row,
            asked=asked,
            prompt=make_prompt(character, remembered, said, self._limits),
        )

    def end(self, opened: Opened, ending: Ending) -> bool:
        """Store how the answer ended. False when another process has ended it before."""
        with self._database.write() as writing:
            ended = messages.finish(
                writing,
                opened.row.id,
                status=ending.status,
                content=ending.text,
                error_code=None if ending.error is None else ending.error.code,
                usage=usage_fields(ending.usage),
            )
            messages.fall_back(writing, opened.row, opened.instead_of)
            status = _GENERATION_STATUS.get(ending.status, "failed")
            return generations.finish(writing, opened.answer.answer_id, status) and ended

    def snapshot(self, texts: dict[int, str], generation_ids: Sequence[str]) -> dict[str, bool]:
        """Store the texts so far, and renew the leases; see `generations.renew_leases`."""
        with self._database.write() as writing:
            messages.set_texts(writing, texts)
            return generations.renew_leases(writing, generation_ids, now() + self._lease)

    def asked_elsewhere(self, generation_ids: Sequence[str]) -> tuple[set[str], set[str]]:
        """The answers that were stopped in another process, and those that are read there."""
        with self._database.read() as reading:
            return generations.asked_elsewhere(reading, generation_ids, now())

    def keep_read(self, generation_id: str) -> None:
        """Report to the process that makes an answer that it is read in this one."""
        with self._database.write() as writing:
            generations.keep_read(writing, generation_id, now() + self._read)


def _said_before(opening: _Opening, client_id: str | None, content: str) -> Message | None:
    """The answer to the message that has this client id."""
    if client_id is None:
        return None
    reading, conversation_id = opening.writing, opening.conversation.id
    asked = messages.by_client_id(reading, conversation_id, client_id)
    if asked is None:
        return None
    if asked.sender_type != "user" or asked.content != content:
        raise IdempotencyClashError
    # Both were stored in one transaction, so the answer is the next message.
    after = messages.after_seq(reading, conversation_id, asked.place, limit=1)
    return after[0] if after else None


def _made_anew_before(
    opening: _Opening, client_id: str | None, original: Message
) -> Message | None:
    """The variant that was requested with this client id."""
    if client_id is None:
        return None
    before = messages.by_client_id(opening.writing, opening.conversation.id, client_id)
    if before is not None and (before.sender_type == "user" or before.place != original.place):
        raise IdempotencyClashError
    return before


def _is_answer(reading: Reading, message: Message) -> bool:
    """Whether it is an answer of the character, not its greeting."""
    if message.sender_type != "character":
        return False
    before = messages.page(reading, message.conversation_id, before_seq=message.place, limit=1)
    return bool(before.messages)


def _append_greeting(writing: Writing, conversation_id: int, character: Character) -> Message:
    return messages.append(
        writing,
        conversation_id,
        sender_type="character",
        sender_id=character.id,
        content=character.first_message,
    )
