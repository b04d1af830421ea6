"""Characters, with profiles that several writers may change at once."""

from typing import Any

from sqlalchemy import bindparam, exc, func, literal, select, update

from xwe.errors import NameTakenError, NotFoundError, StaleVersionError
from xwe.storage.models import CONDEMNED, character, conversation, message
from xwe.storage.records import Character, CharacterSummary
from xwe.storage.rows import InsertUnlessTaken, columns, fetch_all, fetch_one, now
from xwe.storage.units import Reading, Writing

PREVIEW_CHARACTERS = 80

_c = character.c
_is_living = _c.deleted_at.is_(None)
_characters = select(*columns(character, Character))
_insert = InsertUnlessTaken(character, Character)
_by_id = _characters.where(_c.id == bindparam("id"), _c.user_id == bindparam("user_id"), _is_living)
_held = _by_id.with_for_update()
_count = (
    select(func.count())
    .select_from(character)
    .where(_c.user_id == bindparam("user_id"), _is_living)
)
_by_name = _characters.where(
    _c.user_id == bindparam("user_id"), _c.name == bindparam("name"), _is_living
)
_newest_first = _characters.where(_c.user_id == bindparam("user_id"), _is_living).order_by(
    _c.updated_at.desc(), _c.id.desc()
)
_last_words = (
    select(func.substr(message.c.content, 1, PREVIEW_CHARACTERS))
    .where(message.c.conversation_id == conversation.c.id, message.c.selected)
    .order_by(message.c.place.desc())
    .limit(1)
    .scalar_subquery()
)
_last_change = func.coalesce(conversation.c.updated_at, _c.updated_at, type_=_c.updated_at.type)
_summaries = (
    select(_c.id, _c.name, _last_change.label("changed"), func.coalesce(_last_words, literal("")))
    .outerjoin(conversation, conversation.c.character_id == _c.id)
    .where(_c.user_id == bindparam("user_id"), _is_living)
    .order_by(_last_change.desc(), _c.id.desc())
)
_locked = (
    select(_c.version, _c.profile).where(_c.id == bindparam("id"), _is_living).with_for_update()
)
_change = update(character).where(_c.id == bindparam("row_id"))
_save = _change.values(
    profile=bindparam("new_profile"),
    version=bindparam("new_version"),
    updated_at=bindparam("changed_at"),
)
_set_text = _change.values(
    first_message=bindparam("new_first_message"), updated_at=bindparam("changed_at")
)
_set_source = _change.values(
    source=bindparam("new_source"),
    source_text=bindparam("new_source_text"),
    updated_at=bindparam("changed_at"),
)
_rename = _change.where(_is_living).values(
    name=bindparam("new_name"), updated_at=bindparam("changed_at")
)
_mark_deleted = _change.where(_c.user_id == bindparam("owner_id"), _is_living).values(
    deleted_at=bindparam("at")
)
_restore = _change.where(_c.user_id == bindparam("owner_id"), _c.deleted_at > CONDEMNED).values(
    deleted_at=None
)
_last_deleted = (
    _characters.where(
        _c.user_id == bindparam("user_id"),
        _c.name == bindparam("name"),
        _c.deleted_at > CONDEMNED,
    )
    .order_by(_c.deleted_at.desc(), _c.id.desc())
    .limit(1)
)


def create(
    writing: Writing,
    *,
    user_id: int,
    name: str,
    language: str = "zh",
    profile: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None,
    source_text: str = "",
    first_message: str = "",
) -> Character:
    """A new character.

    Raises:
        NameTakenError: the user has a character of that name.
    """
    created_at = now()
    row = _insert(
        writing,
        user_id=user_id,
        name=name,
        language=language,
        profile=profile or {},
        source=source,
        source_text=source_text,
        first_message=first_message,
        version=1,
        created_at=created_at,
        updated_at=created_at,
        deleted_at=None,
    )
    if row is None:
        raise NameTakenError
    return Character(*row)


def listed(reading: Reading, user_id: int) -> list[Character]:
    """The user's characters, most recently changed first."""
    return fetch_all(reading, Character, _newest_first, user_id=user_id)


def summaries(reading: Reading, user_id: int) -> list[CharacterSummary]:
    """A summary of each of the user's characters, most recently talked to first."""
    return fetch_all(reading, CharacterSummary, _summaries, user_id=user_id)


def get(reading: Reading, user_id: int, name: str) -> Character | None:
    """The user's character of that name."""
    return fetch_one(reading, Character, _by_name, user_id=user_id, name=name)


def by_id(reading: Reading, user_id: int, character_id: int) -> Character | None:
    """The user's character with that id."""
    return fetch_one(reading, Character, _by_id, user_id=user_id, id=character_id)


def held(writing: Writing, user_id: int, character_id: int) -> Character | None:
    """As `by_id`, locked until the transaction ends: for reading what is then changed."""
    return fetch_one(writing, Character, _held, user_id=user_id, id=character_id)


def count(reading: Reading, user_id: int) -> int:
    """The number of the user's characters."""
    found: int = reading.execute(_count, {"user_id": user_id}).scalar_one()
    return found


def save_profile(
    writing: Writing, character_id: int, profile: dict[str, Any], *, expected_version: int
) -> int:
    """Replace the whole profile, if it has the expected version; returns the new version.

    Raises:
        NotFoundError: there is no such character.
        StaleVersionError: it was changed since.
    """
    version, _ = _locked_row(writing, character_id)
    if version != expected_version:
        raise StaleVersionError
    return _saved(writing, character_id, version, profile)


def save_category(writing: Writing, character_id: int, category: str, value: Any) -> int:
    """Set one category, leaving the others to other writers; returns the new version.

    Raises:
        NotFoundError: there is no such character.
    """
    version, profile = _locked_row(writing, character_id)
    return _saved(writing, character_id, version, profile | {category: value})


def _locked_row(writing: Writing, character_id: int) -> tuple[int, dict[str, Any]]:
    row = writing.execute(_locked, {"id": character_id}).first()
    if row is None:
        raise NotFoundError
    return row.version, row.profile


def _saved(writing: Writing, character_id: int, version: int, profile: dict[str, Any]) -> int:
    writing.execute(
        _save,
        {
            "row_id": character_id,
            "new_profile": profile,
            "new_version": version + 1,
            "changed_at": now(),
        },
    )
    return version + 1


def set_first_message(writing: Writing, character_id: int, first_message: str) -> None:
    """Set the character's greeting."""
    writing.execute(
        _set_text,
        {"row_id": character_id, "new_first_message": first_message, "changed_at": now()},
    )


def set_source(
    writing: Writing, character_id: int, source: dict[str, Any], source_text: str
) -> None:
    """Store the character's source, and the text that was found there."""
    writing.execute(
        _set_source,
        {
            "row_id": character_id,
            "new_source": source,
            "new_source_text": source_text,
            "changed_at": now(),
        },
    )


def rename(writing: Writing, character_id: int, name: str) -> None:
    """Rename the character; chats and memories refer to its id, and stay.

    Raises:
        NameTakenError: the user has another one of that name.
        NotFoundError: there is no such character.
    """
    values = {"row_id": character_id, "new_name": name, "changed_at": now()}
    _must_be_one(_unless_taken(writing, _rename, values))


def copy(writing: Writing, user_id: int, character_id: int, name: str) -> Character:
    """Duplicate the character with its profile and text, without chats and memories.

    Raises:
        NameTakenError: the user has a character of that name.
        NotFoundError: there is no such character.
    """
    original = by_id(writing, user_id, character_id)
    if original is None:
        raise NotFoundError
    return create(
        writing,
        user_id=user_id,
        name=name,
        language=original.language,
        profile=original.profile,
        source=original.source,
        source_text=original.source_text,
        first_message=original.first_message,
    )


def remove(writing: Writing, user_id: int, character_id: int) -> None:
    """Mark the character as deleted: no list shows it, and it can be restored.

    Raises:
        NotFoundError: there is no such character.
    """
    values = {"row_id": character_id, "owner_id": user_id, "at": now()}
    _must_be_one(writing.execute(_mark_deleted, values).rowcount)


def restore(writing: Writing, user_id: int, character_id: int) -> None:
    """Restore a deleted character.

    Raises:
        NameTakenError: the user has created another one of that name since.
        NotFoundError: no such character is marked as deleted.
    """
    values = {"row_id": character_id, "owner_id": user_id}
    _must_be_one(_unless_taken(writing, _restore, values))


def last_deleted(reading: Reading, user_id: int, name: str) -> Character | None:
    """The user's most recently deleted character of that name."""
    return fetch_one(reading, Character, _last_deleted, user_id=user_id, name=name)


def _unless_taken(writing: Writing, statement: Any, values: dict[str, Any]) -> int:
    # An update cannot give way; the savepoint keeps the rest of the transaction usable.
    try:
        with writing.connection.begin_nested():
            return writing.execute(statement, values).rowcount
    except exc.IntegrityError:
        raise NameTakenError from None


def _must_be_one(changed: int) -> None:
    if changed != 1:
        raise NotFoundError
