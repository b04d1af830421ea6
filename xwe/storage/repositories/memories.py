"""Memories: what a character remembers, with its sources."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, insert, select, update

from xwe.storage.models import memory, memory_source
from xwe.storage.records import Memory, MemoryTier, NewMemory
from xwe.storage.rows import columns, fetch_all, now
from xwe.storage.units import Reading, Writing

_m = memory.c
_current = select(*columns(memory, Memory)).where(
    _m.character_id == bindparam("character_id"), _m.superseded_by.is_(None)
)
_all_tiers = _current.order_by(_m.id)
_one_tier = _current.where(_m.tier == bindparam("tier")).order_by(_m.id)
_insert = insert(memory).returning(_m.id)
_insert_source = insert(memory_source)
_supersede = (
    update(memory)
    .where(
        _m.id.in_(bindparam("old_ids", expanding=True)),
        _m.character_id == bindparam("of_character"),
        _m.superseded_by.is_(None),
    )
    .values(superseded_by=bindparam("new_id"))
)
# Nested, since SQLite's driver does not count the rows of a statement that begins with WITH.
_named = (
    select(_m.id)
    .where(
        _m.id.in_(bindparam("ids", expanding=True)), _m.character_id == bindparam("of_character")
    )
    .cte("doomed", recursive=True, nesting=True)
)
_doomed = _named.union(select(_m.id).join(_named, _m.superseded_by == _named.c.id))
_delete = delete(memory).where(_m.id.in_(select(_doomed.c.id)))


def add(
    writing: Writing,
    character_id: int,
    facts: Sequence[NewMemory],
    *,
    conversation_id: int | None = None,
) -> list[int]:
    """Store facts with their sources, and supersede what they contradict; returns their ids."""
    return [_add_one(writing, character_id, fact, conversation_id) for fact in facts]


def _add_one(
    writing: Writing, character_id: int, fact: NewMemory, conversation_id: int | None
) -> int:
    row = {
        "character_id": character_id,
        "conversation_id": conversation_id,
        "tier": fact.tier,
        "content": fact.content,
        "importance": fact.importance,
        "pinned": fact.pinned,
        "superseded_by": None,
        "created_at": now(),
    }
    new_id = int(writing.execute(_insert, row).scalar_one())
    if fact.sources:
        writing.execute(
            _insert_source,
            [{"memory_id": new_id, "message_id": source} for source in set(fact.sources)],
        )
    if fact.supersedes:
        writing.execute(
            _supersede,
            {"old_ids": list(fact.supersedes), "of_character": character_id, "new_id": new_id},
        )
    return new_id


def listed(reading: Reading, character_id: int, tier: MemoryTier | None = None) -> list[Memory]:
    """The character's memories that are not superseded, oldest first."""
    if tier is None:
        return fetch_all(reading, Memory, _all_tiers, character_id=character_id)
    return fetch_all(reading, Memory, _one_tier, character_id=character_id, tier=tier)


def replace(
    writing: Writing, character_id: int, tier: MemoryTier, contents: Sequence[str]
) -> list[Memory]:
    """Replace the tier's memories with an edited list; returns the tier afterwards.

    A text that is unchanged keeps its row and sources; the others are deleted.
    """
    wanted = list(dict.fromkeys(contents))
    there = listed(writing, character_id, tier)
    gone = [old.id for old in there if old.content not in wanted]
    if gone:
        remove(writing, character_id, gone)
    known = {old.content for old in there}
    add(
        writing,
        character_id,
        [NewMemory(content=content, tier=tier) for content in wanted if content not in known],
    )
    return listed(writing, character_id, tier)


def remove(writing: Writing, character_id: int, memory_ids: Sequence[int]) -> int:
    """Delete memories, each with everything that it supersedes; returns the number.

    What was superseded is out of date, and would be put into prompts again.
    """
    values = {"ids": list(memory_ids), "of_character": character_id}
    return writing.execute(_delete, values).rowcount
