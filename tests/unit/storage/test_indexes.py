"""What is asked often is answered from an index, without a scan and without sorting."""

import pytest
from sqlalchemy import event

from xwe.storage.repositories import (
    conversations,
    generations,
    jobs,
    memories,
    messages,
    sessions,
    tokens,
)

ASKED_OFTEN = {
    "newest page": lambda unit, chat, at: messages.page(unit, chat.id),
    "older page": lambda unit, chat, at: messages.page(unit, chat.id, before_seq=5),
    "what memory has not read": lambda unit, chat, at: messages.after_seq(unit, chat.id, 5),
    "a client's message": lambda unit, chat, at: messages.by_client_id(unit, chat.id, "c"),
    "what a generation wrote": lambda unit, chat, at: messages.by_generation(unit, "g"),
    "the chat with a character": lambda unit, chat, at: conversations.with_character(
        unit, chat.user_id, chat.character_id
    ),
    "a user's answers": lambda unit, chat, at: generations.running_count(unit, chat.user_id),
    "leases that ran out": lambda unit, chat, at: generations.expired(unit, at),
    "memories": lambda unit, chat, at: memories.listed(unit, chat.character_id),
    "a tier of memories": lambda unit, chat, at: memories.listed(unit, chat.character_id, "long"),
    "a session": lambda unit, chat, at: sessions.holder(unit, "d", seen_after=at),
    "a token": lambda unit, chat, at: tokens.holder(unit, "d"),
    "work": lambda unit, chat, at: jobs.is_any_due(unit, ["build"], at),
    "work to take": lambda unit, chat, at: jobs.take(unit, ["b"], owner="me", lease_until=at),
}
SORTED_AFTERWARDS = {"what a generation wrote"}  # a handful of rows


@pytest.mark.parametrize("either_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ASKED_OFTEN)
def test_what_is_asked_often_uses_an_index(database, chat, later, name):
    plan = []
    with database.write() as unit:

        @event.listens_for(unit.connection, "before_cursor_execute")
        def explain(*given):
            _, cursor, statement, parameters, *_ = given
            rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plan.extend(row[-1] for row in rows)

        ASKED_OFTEN[name](unit, chat, later(0))
    assert plan
    # Unfinished jobs have an index of their own, which is read through.
    assert [step for step in plan if step.startswith("SCAN") and "INDEX" not in step] == []
    assert name in SORTED_AFTERWARDS or "USE TEMP B-TREE FOR ORDER BY" not in plan
