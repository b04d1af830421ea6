"""Permanent deletion, a batch at a time.

More may belong to a character than one statement can delete in time. So it is condemned first:
from then on it cannot be restored, and nobody sees it disappear part by part.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, bindparam, delete, select, update

from xwe.storage.batches import DeleteSome
from xwe.storage.column_types import BigId
from xwe.storage.models import (
    CONDEMNED,
    character,
    conversation,
    generation,
    job,
    memory,
    message,
    session,
)
from xwe.storage.units import Reading, Writing

_ids = bindparam("ids", expanding=True, type_=BigId)
_of_user = bindparam("user_id", type_=BigId)


def _said_in(conversations: Select[int]) -> tuple[DeleteSome, ...]:
    return (
        DeleteSome(message, message.c.conversation_id.in_(conversations)),
        DeleteSome(generation, generation.c.conversation_id.in_(conversations)),
    )


# Rows that may be very many; the rest is deleted by CASCADE.
_parts_of_user = (
    *_said_in(select(conversation.c.id).where(conversation.c.user_id == _of_user)),
    DeleteSome(
        memory,
        memory.c.character_id.in_(select(character.c.id).where(character.c.user_id == _of_user)),
    ),
    *(
        DeleteSome(table, table.c.user_id == _of_user)
        for table in (conversation, character, job, session)
    ),
)


def delete_some_of_user(writing: Writing, user_id: int) -> int:
    """Delete a batch of what belongs to the user; returns the number, 0 when nothing is left."""
    return _some(writing, _parts_of_user, user_id=user_id)


class Marked:
    """A table's rows that are marked as deleted, and what belongs to them."""

    def __init__(self, table: Table[Any], *parts: DeleteSome) -> None:
        is_old = table.c.deleted_at < bindparam("before")
        is_named = table.c.id.in_(_ids)
        self._parts = parts
        self._old = select(table.c.id).where(is_old)
        self._condemn = (
            update(table).where(is_named, is_old).values(deleted_at=CONDEMNED).returning(table.c.id)
        )
        self._delete = delete(table).where(is_named, table.c.deleted_at == CONDEMNED)

    def old(self, reading: Reading, before: datetime) -> list[int]:
        """The ids of rows marked before a time, and of condemned ones."""
        return list(reading.execute(self._old, {"before": before}).scalars())

    def condemn(self, writing: Writing, ids: Sequence[int], before: datetime) -> list[int]:
        """Condemn those still marked, so that they cannot be restored; returns their ids."""
        values = {"ids": list(ids), "before": before}
        return list(writing.execute(self._condemn, values).scalars())

    def delete_some(self, writing: Writing, ids: Sequence[int]) -> int:
        """Delete a batch of what belongs to them; returns the number, 0 when nothing is left."""
        return _some(writing, self._parts, ids=list(ids))

    def delete(self, writing: Writing, ids: Sequence[int]) -> int:
        """Delete the condemned ones; returns the number."""
        return writing.execute(self._delete, {"ids": list(ids)}).rowcount


CHARACTERS = Marked(
    character,
    *_said_in(select(conversation.c.id).where(conversation.c.character_id.in_(_ids))),
    DeleteSome(memory, memory.c.character_id.in_(_ids)),
)


def _some(writing: Writing, parts: Sequence[DeleteSome], **values: Any) -> int:
    return next((count for part in parts if (count := part(writing, **values))), 0)
