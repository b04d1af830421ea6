"""Accounts."""

import contextlib

import pytest
from lock_waits import meeting
from sqlalchemy import text

from xwe.errors import NotFoundError, UsernameTakenError
from xwe.storage.database import Database
from xwe.storage.repositories import characters, users


def test_an_account_is_found_by_name_and_by_id(database, ada):
    with database.read() as reading:
        assert users.by_name(reading, "ada") == ada
        assert users.by_id(reading, ada.id) == ada
        assert users.by_name(reading, "Ada") is None
    assert ada.created_at.utcoffset().total_seconds() == 0


def test_a_name_belongs_to_one_account_and_the_clash_spoils_no_transaction(database, ada):
    with database.write() as writing:
        with pytest.raises(UsernameTakenError):
            users.create(writing, username="ada", password_hash="other")
        users.create(writing, username="eve", password_hash="hash")
    with database.read() as reading:
        assert [user.username for user in users.listed(reading)] == ["ada", "eve"]
        assert users.by_name(reading, "ada").password_hash == "hash"


def test_a_new_password_ends_every_session(database, ada):
    with database.write() as writing:
        users.set_password(writing, ada.id, "new hash")
    with database.write() as writing:
        users.bump_session_version(writing, ada.id)
    with database.read() as reading:
        found = users.by_id(reading, ada.id)
    assert (found.password_hash, found.session_version) == ("new hash", ada.session_version + 2)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"语言": "中文", "nul": "a\0b"}, {"语言": "中文", "nul": "a\0b"}),
        ({"half": ["\ud83d"], "n": 1}, {"half": ["�"], "n": 1}),
    ],
)
def test_settings_of_any_text_are_kept(database, ada, given, kept):
    with database.write() as writing:
        users.set_settings(writing, ada.id, given)
    with database.read() as reading:
        assert users.settings(reading, ada.id) == kept
        assert users.settings(reading, ada.id + 1) == {}


def test_an_account_goes_with_all_that_belongs_to_it(database, ada, li_bai, chat):
    with database.write() as writing:
        users.remove(writing, ada.id)
    with database.read() as reading:
        assert users.by_id(reading, ada.id) is None
        assert characters.listed(reading, ada.id) == []


def test_the_id_of_a_deleted_account_is_not_given_again(database, ada):
    with database.write() as writing:
        users.remove(writing, ada.id)
        assert users.create(writing, username="eve", password_hash="hash").id > ada.id


def test_who_is_not_there_cannot_be_changed(database):
    with database.write() as writing:
        for change in (
            lambda: users.set_password(writing, 7, "hash"),
            lambda: users.bump_session_version(writing, 7),
            lambda: users.set_settings(writing, 7, {}),
            lambda: users.remove(writing, 7),
        ):
            with pytest.raises(NotFoundError):
                change()


def test_accounts_come_in_pages(database, ada, bob):
    with database.read() as reading:
        assert users.listed(reading, limit=1) == [ada]
        assert users.listed(reading, after_id=ada.id) == [bob]


def test_an_account_does_not_show_its_hash(ada):
    assert "hash" not in repr(ada)


@pytest.mark.service("postgresql")
def test_a_turn_keeps_others_from_theirs_and_from_nothing_else(postgresql_url):
    with contextlib.ExitStack() as stack:
        here, there = (
            stack.enter_context(contextlib.closing(Database(postgresql_url, timeout_s=60)))
            for _ in "12"
        )
        with here.write() as writing:
            ada, bob = (
                users.create(writing, username=name, password_hash="hash").id
                for name in ("ada", "bob")
            )

        def take_turn():
            with there.write() as writing:
                users.take_turn(writing, ada)

        with meeting(postgresql_url, here.write(), take_turn) as (writing, second, waits):
            users.take_turn(writing, ada)
            with there.write() as other:
                other.execute(text("SET LOCAL lock_timeout = '10s'"))
                users.take_turn(other, bob)
                characters.create(other, user_id=ada, name="李白")
            waits()
        second.result()


def test_a_turn_can_be_taken_twice_and_for_nobody(database, ada):
    with database.write() as writing:
        for user_id in (ada.id, ada.id, ada.id + 1):
            users.take_turn(writing, user_id)
