"""Reading a chat: its messages, and the answer of a generation."""

from collections.abc import Sequence

from xwe.errors import NotFoundError
from xwe.services.characters.sheet import normalized_name
from xwe.services.chats.values import ShownMessage, ShownPage
from xwe.storage.database import Database
from xwe.storage.records import Character, Message
from xwe.storage.repositories import characters, conversations, generations, messages
from xwe.storage.units import Reading


class ChatReading:
    """Reads chats; blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, user_id: int, role: str, before_seq: int | None, limit: int) -> ShownPage:
        """The newest messages, or those before a position.

        An empty chat shows the character's greeting.

        Raises:
            NotFoundError: the user has no such character.
        """
        with self._database.read() as reading:
            character = found_character(reading, user_id, role)
            conversation = conversations.with_character(reading, user_id, character.id)
            if conversation is None or conversation.next_seq == 1:
                return ShownPage(_greeting(character) if before_seq is None else [], has_more=False)
            page = messages.page(reading, conversation.id, before_seq=before_seq, limit=limit)
            return ShownPage(_shown(reading, conversation.id, page.messages), page.has_more)

    def after(self, user_id: int, role: str, after_seq: int, limit: int) -> ShownPage:
        """The messages after a position; `has_more` says whether there are newer ones.

        Raises:
            NotFoundError: the user has no such character.
        """
        with self._database.read() as reading:
            character = found_character(reading, user_id, role)
            conversation = conversations.with_character(reading, user_id, character.id)
            if conversation is None:
                return ShownPage([], has_more=False)
            found = messages.after_seq(reading, conversation.id, after_seq, limit=limit + 1)
            shown = _shown(reading, conversation.id, found[:limit])
            return ShownPage(shown, has_more=len(found) > limit)

    def select(self, user_id: int, role: str, message_id: int) -> ShownMessage:
        """Select one of an answer's variants.

        Raises:
            NotFoundError: the user has no such character, or it has no such message.
        """
        with self._database.write() as writing:
            character = found_character(writing, user_id, role)
            conversation = conversations.with_character(writing, user_id, character.id)
            if conversation is None:
                raise NotFoundError
            chosen = messages.select_variant(writing, conversation.id, message_id)
            return _shown(writing, conversation.id, [chosen])[0]

    def answer(self, user_id: int, generation_id: str) -> Message:
        """The row that the generation writes to.

        Raises:
            NotFoundError: there is none, or it is not the user's.
        """
        with self._database.read() as reading:
            if generations.get(reading, user_id, generation_id) is None:
                raise NotFoundError
            written = messages.by_generation(reading, generation_id)
        if not written:
            raise NotFoundError
        return written[0]

    def running_answer_to(self, user_id: int, role: str, content: str) -> Message | None:
        """The running answer, if it answers exactly this text.

        Raises:
            NotFoundError: the user has no such character.
        """
        with self._database.read() as reading:
            character = found_character(reading, user_id, role)
            conversation = conversations.with_character(reading, user_id, character.id)
            if conversation is None:
                return None
            newest = messages.page(reading, conversation.id, limit=2).messages
        match newest:
            case [asked, answer] if asked.sender_type == "user" and asked.content == content:
                return answer
        return None

    def request_cancel(self, user_id: int, generation_id: str) -> None:
        """Ask the process that makes an answer to stop it; no effect on one that has ended.

        Raises:
            NotFoundError: there is none, or it is not the user's.
        """
        with self._database.write() as writing:
            if generations.get(writing, user_id, generation_id) is None:
                raise NotFoundError
            generations.request_cancel(writing, user_id, generation_id)


def found_character(reading: Reading, user_id: int, role: str) -> Character:
    """The user's character of that name.

    Raises:
        NotFoundError: they have none.
    """
    character = characters.get(reading, user_id, normalized_name(role))
    if character is None:
        raise NotFoundError
    return character


def _shown(reading: Reading, conversation_id: int, found: Sequence[Message]) -> list[ShownMessage]:
    if not found:
        return []
    variants = messages.variants_between(reading, conversation_id, found[0].place, found[-1].place)
    return [ShownMessage(message, tuple(variants.get(message.place, ()))) for message in found]


def _greeting(character: Character) -> list[ShownMessage]:
    """The greeting before it has a row, since reading must not change anything."""
    if not character.first_message:
        return []
    greeting = Message(
        id=0,
        conversation_id=0,
        seq=0,
        place=0,
        sender_type="character",
        sender_id=character.id,
        generation_id=None,
        variant_of=None,
        selected=True,
        content=character.first_message,
        status="complete",
        error_code=None,
        client_id=None,
        usage=None,
        created_at=character.created_at,
    )
    return [ShownMessage(greeting)]
