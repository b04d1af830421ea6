"""Conversations."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from xwe.storage.models import participant
from xwe.storage.repositories import conversations


def test_a_character_has_one_conversation_however_many_ask_at_once(database, ada, li_bai):
    def ask(_):
        with database.write() as writing:
            return conversations.for_character(writing, ada.id, li_bai.id)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(16)))
    assert len({conversation.id for conversation in found}) == 1
    with database.read() as reading:
        who = reading.execute(select(participant.c.character_id)).scalars().all()
    assert who == [li_bai.id]
