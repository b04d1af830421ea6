"""Characters."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from lock_waits import meeting

from xwe.errors import NameTakenError, NotFoundError, StaleVersionError
from xwe.storage.database import Database
from xwe.storage.repositories import characters, messages, users

CATEGORIES = [f"类别{number}" for number in range(8)]


def test_a_profile_keeps_the_order_in_which_it_was_written(database, ada):
    profile = {"背景故事": {"秘密": "z", "出身": "a"}, "b": [], "a": 1}
    with database.write() as writing:
        made = characters.create(writing, user_id=ada.id, name="孙悟空", profile=profile)
    with database.read() as reading:
        found = characters.get(reading, ada.id, "孙悟空")
    assert found == made
    assert [*found.profile] == [*profile]
    assert [*found.profile["背景故事"]] == ["秘密", "出身"]


def test_a_name_is_taken_for_its_owner_only(database, ada, bob, li_bai):
    with database.write() as writing:
        with pytest.raises(NameTakenError):
            characters.create(writing, user_id=ada.id, name="李白")
        characters.create(writing, user_id=bob.id, name="李白")


def test_somebody_elses_character_is_not_there(database, bob, li_bai):
    with database.write() as writing:
        assert characters.get(writing, bob.id, "李白") is None
        assert characters.by_id(writing, bob.id, li_bai.id) is None
        for change in (
            lambda: characters.remove(writing, bob.id, li_bai.id),
            lambda: characters.copy(writing, bob.id, li_bai.id, "copy"),
        ):
            with pytest.raises(NotFoundError):
                change()


def test_a_stale_profile_is_refused(database, li_bai):
    with database.write() as writing:
        version = characters.save_profile(
            writing, li_bai.id, {"a": 1}, expected_version=li_bai.version
        )
    with database.write() as writing, pytest.raises(StaleVersionError):
        characters.save_profile(writing, li_bai.id, {"b": 2}, expected_version=li_bai.version)
    with database.read() as reading:
        found = characters.by_id(reading, li_bai.user_id, li_bai.id)
    assert (found.profile, found.version) == ({"a": 1}, version)


def test_eight_categories_that_finish_at_once_are_all_kept(database, li_bai):
    def save(category):
        with database.write() as writing:
            return characters.save_category(writing, li_bai.id, category, {"of": category})

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(save, CATEGORIES))
    with database.read() as reading:
        found = characters.by_id(reading, li_bai.user_id, li_bai.id)
    assert found.profile == {category: {"of": category} for category in CATEGORIES}
    assert sorted(versions) == list(range(2, 10))


@pytest.mark.service("postgresql")
def test_nobody_changes_a_character_that_is_held(postgresql_url):
    with contextlib.closing(Database(postgresql_url, timeout_s=60)) as database:
        with database.write() as writing:
            ada = users.create(writing, username="ada", password_hash="hash").id
            li_bai = characters.create(writing, user_id=ada, name="李白")

        def save():
            with database.write() as writing:
                characters.save_profile(writing, li_bai.id, {"a": "theirs"}, expected_version=1)

        with meeting(postgresql_url, database.write(), save) as (writing, second, waits):
            assert characters.held(writing, ada, li_bai.id) == li_bai
            waits()
            characters.save_category(writing, li_bai.id, "a", "ours")
        with pytest.raises(StaleVersionError):
            second.result()


def test_only_ones_own_living_characters_are_held_and_counted(database, ada, bob, li_bai):
    with database.write() as writing:
        assert characters.held(writing, bob.id, li_bai.id) is None
        assert (characters.count(writing, ada.id), characters.count(writing, bob.id)) == (1, 0)
        characters.remove(writing, ada.id, li_bai.id)
        assert characters.held(writing, ada.id, li_bai.id) is None
        assert characters.count(writing, ada.id) == 0


def test_a_character_gets_another_name(database, ada, li_bai):
    with database.write() as writing:
        characters.create(writing, user_id=ada.id, name="杜甫")
        with pytest.raises(NameTakenError):
            characters.rename(writing, li_bai.id, "杜甫")
        characters.rename(writing, li_bai.id, "李太白")  # the clash has spoilt nothing
    with database.read() as reading:
        assert characters.get(reading, ada.id, "李太白").id == li_bai.id


def test_a_copy_has_the_profile_and_a_name_of_its_own(database, ada, li_bai):
    with database.write() as writing:
        characters.save_category(writing, li_bai.id, "a", 1)
        copy = characters.copy(writing, ada.id, li_bai.id, "李白二")
    assert copy.id != li_bai.id
    assert (copy.name, copy.profile, copy.version) == ("李白二", {"a": 1}, 1)


def test_a_deleted_character_can_be_brought_back(database, ada, li_bai, chat):
    with database.write() as writing:
        characters.remove(writing, ada.id, li_bai.id)
        assert characters.listed(writing, ada.id) == []
        assert characters.get(writing, ada.id, "李白") is None
        with pytest.raises(NotFoundError):
            characters.save_category(writing, li_bai.id, "a", 1)
        characters.restore(writing, ada.id, li_bai.id)
        assert characters.get(writing, ada.id, "李白").id == li_bai.id


def test_the_name_of_a_deleted_character_is_free_again(database, ada, li_bai):
    with database.write() as writing:
        characters.remove(writing, ada.id, li_bai.id)
        characters.create(writing, user_id=ada.id, name="李白")
        with pytest.raises(NameTakenError):
            characters.restore(writing, ada.id, li_bai.id)


def test_the_list_says_how_each_chat_ended(database, ada, li_bai, chat):
    with database.write() as writing:
        characters.create(writing, user_id=ada.id, name="杜甫")
        messages.append(writing, chat.id, sender_type="user", content="早")
        messages.append(writing, chat.id, sender_type="character", content="月" * 200)
    with database.read() as reading:
        summaries = characters.summaries(reading, ada.id)
    assert [(line.name, line.preview) for line in summaries] == [("李白", "月" * 80), ("杜甫", "")]
    assert summaries[0].updated_at > summaries[1].updated_at
