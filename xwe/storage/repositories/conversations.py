"""Conversations: the one with each character."""

from sqlalchemy import bindparam, func, select

from xwe.errors import NotFoundError
from xwe.storage.models import conversation, participant
from xwe.storage.records import Conversation, ConversationKind
from xwe.storage.rows import InsertUnlessTaken, columns, fetch_one, now
from xwe.storage.units import Reading, Writing

_c, _p = conversation.c, participant.c
_is_living = _c.deleted_at.is_(None)
_conversations = select(*columns(conversation, Conversation))
_insert = InsertUnlessTaken(conversation, Conversation)
_insert_participant = InsertUnlessTaken(participant)
_with_character = _conversations.where(
    _c.character_id == bindparam("character_id"), _c.user_id == bindparam("user_id")
)
_next_position = select(func.coalesce(func.max(_p.position) + 1, 0)).where(
    _p.conversation_id == bindparam("conversation_id")
)


def for_character(writing: Writing, user_id: int, character_id: int) -> Conversation:
    """The user's conversation with the character, created at the first call."""
    found = with_character(writing, user_id, character_id)
    if found is not None:
        return found
    row = _insert(writing, **_values(user_id, "single", character_id=character_id))
    if row is None:  # another process was first
        found = with_character(writing, user_id, character_id)
        if found is None:
            raise NotFoundError
        return found
    made = Conversation(*row)
    add_participant(writing, made.id, character_id)
    return made


def with_character(reading: Reading, user_id: int, character_id: int) -> Conversation | None:
    """The user's conversation with the character, if there is one yet."""
    return fetch_one(
        reading, Conversation, _with_character, user_id=user_id, character_id=character_id
    )


def _values(
    user_id: int, kind: ConversationKind, *, title: str = "", character_id: int | None = None
) -> dict[str, object]:
    created_at = now()
    return {
        "user_id": user_id,
        "kind": kind,
        "character_id": character_id,
        "title": title,
        "next_seq": 1,
        "summarised_seq": 0,
        "created_at": created_at,
        "updated_at": created_at,
        "deleted_at": None,
    }


def add_participant(writing: Writing, conversation_id: int, character_id: int) -> None:
    """Add a character, last; one that is there already keeps its position."""
    position = writing.execute(_next_position, {"conversation_id": conversation_id}).scalar_one()
    _insert_participant(
        writing,
        conversation_id=conversation_id,
        character_id=character_id,
        position=position,
        muted=False,
    )
