"""Conversations and their participants."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from xwe.errors import NotFoundError
from xwe.storage.repositories import characters, conversations


@pytest.fixture
def poets(database, ada):
    with database.write() as writing:
        return [
            characters.create(writing, user_id=ada.id, name=name)
            for name in ("李白", "杜甫", "王维")
        ]


@pytest.fixture
def salon(database, ada, poets):
    with database.write() as writing:
        return conversations.create_group(writing, ada.id, "诗社", [poet.id for poet in poets])


def names(reading, conversation):
    return [who.name for who in conversations.participants(reading, conversation.id)]


def test_a_character_has_one_conversation_however_many_ask_at_once(database, ada, li_bai):
    def ask(_):
        with database.write() as writing:
            return conversations.for_character(writing, ada.id, li_bai.id)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(16)))
    assert len({conversation.id for conversation in found}) == 1
    with database.read() as reading:
        assert names(reading, found[0]) == ["李白"]


def test_a_group_keeps_the_order_of_its_members(database, salon):
    with database.read() as reading:
        assert names(reading, salon) == ["李白", "杜甫", "王维"]


def test_members_come_and_go(database, salon, poets):
    with database.write() as writing:
        conversations.remove_participant(writing, salon.id, poets[0].id)
        with pytest.raises(NotFoundError):
            conversations.remove_participant(writing, salon.id, poets[0].id)
        conversations.add_participant(writing, salon.id, poets[0].id)
        conversations.add_participant(writing, salon.id, poets[1].id)
        assert names(writing, salon) == ["杜甫", "王维", "李白"]


def test_a_member_goes_by_its_id_not_by_its_name(database, salon, poets):
    with database.write() as writing:
        characters.rename(writing, poets[0].id, "李太白")
        assert names(writing, salon) == ["李太白", "杜甫", "王维"]


def test_a_member_can_be_muted(database, salon, poets):
    with database.write() as writing:
        conversations.set_muted(writing, salon.id, poets[1].id, muted=True)
        muted = [who.muted for who in conversations.participants(writing, salon.id)]
    assert muted == [False, True, False]


def test_groups_are_listed_for_their_owner_and_single_chats_are_not(
    database, ada, bob, salon, poets
):
    with database.write() as writing:
        conversations.for_character(writing, ada.id, poets[0].id)
        assert conversations.groups(writing, ada.id) == [salon]
        assert conversations.groups(writing, bob.id) == []
        assert conversations.get(writing, bob.id, salon.id) is None


def test_a_deleted_group_can_be_brought_back_by_its_owner(database, ada, bob, salon):
    with database.write() as writing:
        with pytest.raises(NotFoundError):
            conversations.remove_group(writing, bob.id, salon.id)
        conversations.remove_group(writing, ada.id, salon.id)
        assert conversations.get(writing, ada.id, salon.id) is None
        conversations.restore_group(writing, ada.id, salon.id)
        assert conversations.get(writing, ada.id, salon.id) == salon
