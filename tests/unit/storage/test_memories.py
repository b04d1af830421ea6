"""Memories."""

import pytest
from sqlalchemy import select

from xwe.storage.models import memory_source
from xwe.storage.records import NewMemory
from xwe.storage.repositories import memories, messages


@pytest.fixture
def said(database, chat):
    with database.write() as writing:
        return [
            messages.append(writing, chat.id, sender_type="user", content=text).id
            for text in ("我住在长安", "我爱喝酒")
        ]


def sources(unit, memory_ids):
    found = {memory_id: [] for memory_id in memory_ids}
    where = memory_source.c.memory_id.in_(memory_ids)
    for memory_id, message_id in unit.execute(select(memory_source).where(where)):
        found[memory_id].append(message_id)
    return found


def contents(found):
    return [memory.content for memory in found]


def test_facts_are_kept_with_their_sources(database, chat, said):
    fact = NewMemory("用户 | 住在 | 长安", importance=3, sources=(said[0], said[0]))
    with database.write() as writing:
        (made,) = memories.add(writing, chat.character_id, [fact], conversation_id=chat.id)
    with database.read() as reading:
        (found,) = memories.listed(reading, chat.character_id, "short")
        assert sources(reading, [made, made + 1]) == {made: [said[0]], made + 1: []}
    assert (found.id, found.content, found.importance) == (made, fact.content, 3)


def test_a_contradiction_supersedes_and_does_not_delete(database, chat):
    with database.write() as writing:
        (old,) = memories.add(writing, chat.character_id, [NewMemory("住在长安")])
        memories.add(writing, chat.character_id, [NewMemory("住在洛阳", supersedes=(old,))])
        assert contents(memories.listed(writing, chat.character_id)) == ["住在洛阳"]
        assert memories.remove(writing, chat.character_id, [old]) == 1  # it was still there


def test_what_was_superseded_goes_with_what_took_its_place(database, chat):
    """It is wrong by now, and must not be told to the model again."""
    with database.write() as writing:
        who = chat.character_id
        (rome,) = memories.add(writing, who, [NewMemory("住在长安"), NewMemory("爱喝酒")])[:1]
        (paris,) = memories.add(writing, who, [NewMemory("住在洛阳", supersedes=(rome,))])
        memories.add(writing, who, [NewMemory("住在成都", supersedes=(paris,))])
        assert contents(memories.replace(writing, who, "short", ["爱喝酒"])) == ["爱喝酒"]
        assert memories.remove(writing, who, [rome, paris]) == 0  # they are gone


def test_a_long_chain_goes_too(database, chat):
    """Longer than SQLite would follow a cascade."""
    with database.write() as writing:
        (last,) = memories.add(writing, chat.character_id, [NewMemory("0")])
        for number in range(1, 1200):
            fact = NewMemory(str(number), supersedes=(last,))
            (last,) = memories.add(writing, chat.character_id, [fact])
        assert memories.remove(writing, chat.character_id, [last]) == 1200
        assert memories.listed(writing, chat.character_id) == []


def test_an_edited_tier_keeps_the_rows_that_stay(database, chat, said):
    with database.write() as writing:
        kept, _ = memories.add(
            writing, chat.character_id, [NewMemory("a", sources=(said[0],)), NewMemory("b")]
        )
        memories.add(writing, chat.character_id, [NewMemory("long", tier="long")])
        now = memories.replace(writing, chat.character_id, "short", ["c", "a", "c"])
        assert contents(now) == ["a", "c"]
        assert sources(writing, [kept]) == {kept: [said[0]]}
        assert contents(memories.listed(writing, chat.character_id, "long")) == ["long"]


def test_another_characters_memories_are_out_of_reach(database, chat):
    with database.write() as writing:
        (made,) = memories.add(writing, chat.character_id, [NewMemory("a")])
        other = chat.character_id + 1
        assert memories.remove(writing, other, [made]) == 0
