"""Sessions and tokens: found by a digest, gone with their user."""

import pytest

from xwe.errors import NotFoundError
from xwe.storage.repositories import sessions, tokens, users


@pytest.fixture
def signed_in(database, ada):
    with database.write() as writing:
        sessions.create(writing, ada, digest="d1", user_agent="Firefox")
    return "d1"


def found(database, digest, seen_after):
    with database.read() as reading:
        return sessions.holder(reading, digest, seen_after=seen_after)


def test_a_session_is_found_by_its_digest(database, ada, signed_in, later):
    holder = found(database, signed_in, later(-60))
    assert (holder.user_id, holder.username, holder.is_admin) == (ada.id, "ada", False)
    assert found(database, "another", later(-60)) is None
    assert found(database, signed_in, later(60)) is None


def test_a_session_of_an_older_version_is_over(database, ada, signed_in, later):
    with database.write() as writing:
        users.bump_session_version(writing, ada.id)
    assert found(database, signed_in, later(-60)) is None
    with database.read() as reading:
        assert sessions.listed(reading, ada.id, seen_after=later(-60)) == []


def test_one_that_begins_with_an_old_version_never_was(database, ada, later):
    with database.write() as writing:
        users.set_password(writing, ada.id, "new")
        sessions.create(writing, ada, digest="late", user_agent="")
    assert found(database, "late", later(-60)) is None


def test_only_its_user_ends_a_session(database, ada, bob, signed_in, later):
    session_id = found(database, signed_in, later(-60)).id
    with pytest.raises(NotFoundError), database.write() as writing:
        sessions.remove(writing, bob.id, session_id)
    with database.write() as writing:
        sessions.remove(writing, ada.id, session_id)
    assert found(database, signed_in, later(-60)) is None


def test_sessions_that_nobody_uses_are_forgotten(database, ada, signed_in, later):
    with database.write() as writing:
        assert sessions.purge(writing, later(-60)) == 0
        sessions.touch(
            writing, found_id := sessions.holder(writing, "d1", seen_after=later(-60)).id
        )
        assert sessions.purge(writing, later(60)) == 1
    assert found_id
    assert found(database, signed_in, later(-60)) is None


def test_a_token_is_its_users(database, ada, bob):
    with database.write() as writing:
        made = tokens.create(writing, ada.id, name="script", digest="t1")
        assert tokens.holder(writing, "t1").user_id == ada.id
        tokens.touch(writing, made.id)
        assert tokens.listed(writing, ada.id)[0].last_used_at is not None
        assert tokens.listed(writing, bob.id) == []
    with pytest.raises(NotFoundError), database.write() as writing:
        tokens.remove(writing, bob.id, made.id)


def test_both_go_with_their_user(database, ada, signed_in, later):
    with database.write() as writing:
        tokens.create(writing, ada.id, name="script", digest="t1")
        users.remove(writing, ada.id)
    assert found(database, signed_in, later(-60)) is None
    with database.read() as reading:
        assert tokens.holder(reading, "t1") is None
