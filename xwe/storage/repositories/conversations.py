"""Conversations: the one with each character, and groups with their participants."""

from sqlalchemy import bindparam, delete, func, select, update

from xwe.errors import ConflictError, NotFoundError
from xwe.storage.models import CONDEMNED, character, conversation, participant
from xwe.storage.records import Conversation, ConversationKind, Participant
from xwe.storage.rows import InsertUnlessTaken, columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

_c, _p = conversation.c, participant.c
_is_living = _c.deleted_at.is_(None)
_conversations = select(*columns(conversation, Conversation))
_insert = InsertUnlessTaken(conversation, Conversation)
_insert_participant = InsertUnlessTaken(participant)
_with_character = _conversations.where(
    _c.character_id == bindparam("character_id"), _c.user_id == bindparam("user_id")
)
_by_id = _conversations.where(
    _c.id == bindparam("id"), _c.user_id == bindparam("user_id"), _is_living
)
_groups = _conversations.where(
    _c.user_id == bindparam("user_id"), _c.kind == "group", _is_living
).order_by(_c.updated_at.desc(), _c.id.desc())
_mark = update(conversation).where(
    _c.id == bindparam("row_id"), _c.user_id == bindparam("owner_id"), _c.kind == "group"
)
_mark_deleted = _mark.where(_is_living).values(deleted_at=bindparam("at"))
_restore = _mark.where(_c.deleted_at > CONDEMNED).values(deleted_at=None)
_participants = (
    select(_p.character_id, character.c.name, _p.position, _p.muted)
    .join(character, character.c.id == _p.character_id)
    .where(_p.conversation_id == bindparam("conversation_id"), character.c.deleted_at.is_(None))
    .order_by(_p.position, _p.character_id)
)
_next_position = select(func.coalesce(func.max(_p.position) + 1, 0)).where(
    _p.conversation_id == bindparam("conversation_id")
)
_is_one = (_p.conversation_id == bindparam("in_id"), _p.character_id == bindparam("who_id"))
_remove_participant = delete(participant).where(*_is_one)
_set_muted = update(participant).where(*_is_one).values(muted=bindparam("new_muted"))


def for_character(writing: Writing, user_id: int, character_id: int) -> Conversation:
    """The user's conversation with the character, made at the first call."""
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


def create_group(
    writing: Writing, user_id: int, title: str, character_ids: list[int]
) -> Conversation:
    """A new group with these characters, in this order."""
    row = _insert(writing, **_values(user_id, "group", title=title))
    if row is None:
        raise ConflictError
    made = Conversation(*row)
    for character_id in character_ids:
        add_participant(writing, made.id, character_id)
    return made


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


def groups(reading: Reading, user_id: int) -> list[Conversation]:
    """The user's groups, the one talked in last first."""
    return fetch_all(reading, Conversation, _groups, user_id=user_id)


def get(reading: Reading, user_id: int, conversation_id: int) -> Conversation | None:
    """The user's conversation with that id, of either kind."""
    return fetch_one(reading, Conversation, _by_id, user_id=user_id, id=conversation_id)


def remove_group(writing: Writing, user_id: int, conversation_id: int) -> None:
    """Mark the group as deleted: it is gone from every list, and can be brought back.

    Raises:
        NotFoundError: there is no such group.
    """
    values = {"row_id": conversation_id, "owner_id": user_id, "at": now()}
    if writing.execute(_mark_deleted, values).rowcount != 1:
        raise NotFoundError


def restore_group(writing: Writing, user_id: int, conversation_id: int) -> None:
    """Bring a deleted group back.

    Raises:
        NotFoundError: no such group is marked as deleted.
    """
    values = {"row_id": conversation_id, "owner_id": user_id}
    if writing.execute(_restore, values).rowcount != 1:
        raise NotFoundError


def participants(reading: Reading, conversation_id: int) -> list[Participant]:
    """The characters in the conversation, by position; deleted ones are not there."""
    return fetch_all(reading, Participant, _participants, conversation_id=conversation_id)


def add_participant(writing: Writing, conversation_id: int, character_id: int) -> None:
    """Let a character in, at the end; one that is there already keeps its position."""
    position = writing.execute(_next_position, {"conversation_id": conversation_id}).scalar_one()
    _insert_participant(
        writing,
        conversation_id=conversation_id,
        character_id=character_id,
        position=position,
        muted=False,
    )


def remove_participant(writing: Writing, conversation_id: int, character_id: int) -> None:
    """Let a character leave; what it has said stays.

    Raises:
        NotFoundError: it is not there.
    """
    values = {"in_id": conversation_id, "who_id": character_id}
    if writing.execute(_remove_participant, values).rowcount != 1:
        raise NotFoundError


def set_muted(writing: Writing, conversation_id: int, character_id: int, *, muted: bool) -> None:
    """Have a character stay silent, or not any more.

    Raises:
        NotFoundError: it is not there.
    """
    values = {"in_id": conversation_id, "who_id": character_id, "new_muted": muted}
    if writing.execute(_set_muted, values).rowcount != 1:
        raise NotFoundError
