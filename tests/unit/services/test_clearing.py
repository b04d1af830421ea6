"""Deleting for good what is large: piece by piece, and never half there for anybody."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from xwe.errors import NameTakenError, NotFoundError, WrongPasswordError
from xwe.services import clearing
from xwe.services.accounts import Accounts
from xwe.services.clearing import clear_marked
from xwe.storage import batches
from xwe.storage.database import Database
from xwe.storage.models import conversation, metadata
from xwe.storage.records import Conversation, NewMemory
from xwe.storage.repositories import (
    characters,
    conversations,
    generations,
    jobs,
    memories,
    messages,
    purging,
)
from xwe.storage.rows import columns

PASSWORD = "a good password"


@pytest.fixture
def database(either_url):
    with contextlib.closing(Database(either_url, timeout_s=60)) as database:
        yield database


@pytest.fixture
def accounts(database):
    with contextlib.closing(Accounts(database, signup_is_open=True)) as accounts:
        yield accounts


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ROWS", 3)


def from_now(**time):
    return datetime.now(UTC) + timedelta(**time)


def talk(writing, chat, character_id):
    """Ten answers, each remembered, the last one regenerated."""
    for number in range(10):
        made = generations.begin(
            writing,
            f"{chat.id}-{number}",
            conversation_id=chat.id,
            owner="me",
            lease_until=from_now(minutes=1),
        )
        said = messages.append(
            writing, chat.id, sender_type="character", content="hi", generation_id=made.id
        )
        generations.finish(writing, made.id, "complete")
        fact = NewMemory(f"fact {number}", sources=(said.id,))
        memories.add(writing, character_id, [fact], conversation_id=chat.id)
    messages.append(writing, chat.id, sender_type="character", content="ho", variant_of=said.id)


def group_of(writing, user_id):
    """A conversation that is nobody's in particular."""
    at = from_now()
    values = {"user_id": user_id, "kind": "group", "title": "诗社", "next_seq": 1}
    values |= {"summarised_seq": 0, "created_at": at, "updated_at": at}
    statement = (
        insert(conversation).values(**values).returning(*columns(conversation, Conversation))
    )
    return Conversation(*writing.execute(statement).one())


def make_all(writing, user_id, name="李白"):
    """A character with a chat and a group, both talked in; their ids."""
    who = characters.create(writing, user_id=user_id, name=name)
    chat = conversations.for_character(writing, user_id, who.id)
    group = group_of(writing, user_id)
    talk(writing, chat, who.id)
    talk(writing, group, who.id)
    for _ in range(4):
        jobs.create(writing, kind="build", payload={}, user_id=user_id)
    return who.id, group.id


def counts(database):
    """The tables that have rows, and how many."""
    with database.read() as reading:
        found = {
            table.name: len(reading.execute(select(table)).all())
            for table in metadata.sorted_tables
        }
    return {name: count for name, count in found.items() if count}


class ProcessDiedError(Exception):
    """Nothing more happens."""


@pytest.fixture
def dying(monkeypatch):
    """Has the process die after an act's first batch."""

    def die(act):
        def first_batch(database, delete_some, _=None):
            with database.write() as writing:
                assert delete_some(writing) == batches.BATCH_ROWS
            raise ProcessDiedError

        with monkeypatch.context() as patch:
            patch.setattr(clearing, "in_batches", first_batch)
            with pytest.raises(ProcessDiedError):
                act()

    return die


def clear_characters(database, *, before=None):
    return clear_marked(database, purging.CHARACTERS, before or from_now(minutes=1))


def test_an_account_goes_with_all_that_it_has(database, accounts):
    ada = accounts.register("ada", PASSWORD).account
    accounts.add_token(ada.id, "script")
    with database.write() as writing:
        make_all(writing, ada.id)
    others = accounts.register("bob", PASSWORD).account
    with database.write() as writing:
        make_all(writing, others.id)
    before = counts(database)
    accounts.delete(ada.id)
    after = counts(database)
    assert after.pop("user") == 1
    assert "token" not in after
    assert after == {name: before[name] // 2 for name in after}
    with pytest.raises(NotFoundError):
        accounts.delete(ada.id)


def test_nobody_signs_in_with_an_account_of_which_half_is_gone(database, accounts, dying):
    signed_in = accounts.register("ada", PASSWORD)
    _, token = accounts.add_token(signed_in.account.id, "script")
    with database.write() as writing:
        make_all(writing, signed_in.account.id)
    dying(lambda: accounts.delete(signed_in.account.id))
    assert counts(database)["message"] == 22 - 3
    assert accounts.by_session(signed_in.secret) is accounts.by_token(token) is None
    for password in (PASSWORD, ""):
        with pytest.raises(WrongPasswordError):
            accounts.log_in("ada", password)
    accounts.delete(accounts.named("ada").id)
    assert counts(database) == {}


def test_what_was_deleted_long_ago_goes_with_all_that_belongs_to_it(database, accounts):
    ada = accounts.register("ada", PASSWORD).account
    with database.write() as writing:
        gone, _ = make_all(writing, ada.id)
        make_all(writing, ada.id, "杜甫")
        characters.remove(writing, ada.id, gone)
    before = counts(database)
    assert clear_characters(database, before=from_now(minutes=-1)) == 0
    assert counts(database) == before
    assert clear_characters(database) == 1
    after = counts(database)
    # The group is still there, and what was said in it; what the character learnt there is not.
    assert (after["character"], after["conversation"]) == (1, before["conversation"] - 1)
    assert after["message"] == before["message"] * 3 // 4
    assert after["memory"] == before["memory"] // 2


def test_nobody_has_back_a_character_of_which_half_is_gone(database, accounts, dying):
    ada = accounts.register("ada", PASSWORD).account
    with database.write() as writing:
        gone, _ = make_all(writing, ada.id)
        characters.remove(writing, ada.id, gone)
    dying(lambda: clear_characters(database))
    assert counts(database)["message"] == 22 - 3
    with database.read() as reading:
        assert characters.last_deleted(reading, ada.id, "李白") is None
    with pytest.raises(NotFoundError), database.write() as writing:
        characters.restore(writing, ada.id, gone)
    # A later look takes it up, however long ago is long ago.
    assert clear_characters(database, before=from_now(days=-365)) == 1
    assert "character" not in counts(database)


def test_one_that_was_had_back_meanwhile_stays(database, accounts):
    ada = accounts.register("ada", PASSWORD).account
    with database.write() as writing:
        first, _ = make_all(writing, ada.id)
        characters.remove(writing, ada.id, first)
        old = purging.CHARACTERS.old(writing, from_now(minutes=1))
        characters.restore(writing, ada.id, first)
        assert purging.CHARACTERS.condemn(writing, old, from_now(minutes=1)) == []
        assert purging.CHARACTERS.delete(writing, old) == 0


def test_it_ends_with_the_process(database, accounts):
    ada = accounts.register("ada", PASSWORD).account
    with database.write() as writing:
        gone, _ = make_all(writing, ada.id)
        characters.remove(writing, ada.id, gone)
    answers = iter([True, True, False, False])
    before = counts(database)
    cleared = clear_marked(database, purging.CHARACTERS, from_now(minutes=1), lambda: next(answers))
    assert cleared == 0
    assert counts(database)["message"] == before["message"] - 6
    assert clear_characters(database) == 1
    with database.write() as writing:
        assert characters.create(writing, user_id=ada.id, name="李白")
        with pytest.raises(NameTakenError):
            characters.create(writing, user_id=ada.id, name="李白")
