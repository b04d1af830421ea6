"""A user's characters: create, read, edit by category, rename, copy, delete, restore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xwe.errors import ConflictError, InvalidRequestError, NotFoundError, StaleVersionError
from xwe.services.characters.categories import (
    BIOGRAPHY,
    PROFILE_CATEGORIES,
    SOURCE,
    Language,
    as_language,
    find_category,
)
from xwe.services.characters.generation import CATEGORY, CHARACTER
from xwe.services.characters.sheet import (
    MAX_NAME_CHARS,
    checked_name,
    fingerprint,
    normalized_name,
    part_of,
    quoted_fields,
)
from xwe.services.characters.sources import SourceKind, own_source
from xwe.services.limits import Limits
from xwe.services.tasks import Tasks
from xwe.storage.database import Database
from xwe.storage.records import Character, CharacterSummary, Job, MemoryTier
from xwe.storage.repositories import characters, jobs, memories, users
from xwe.storage.units import Reading, Writing

MAX_MEMORIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class NewCharacter:
    """A request to create a character.

    Attributes:
        role: its name.
        source: where its text comes from.
        text: the text itself; empty when it is still to be fetched.
        language: the sheet's.
        model: the model to use; None for the default.
        title: the title of the article to fetch; None for `role`.
    """

    role: str
    source: SourceKind
    text: str = ""
    language: Language = "zh"
    model: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A character whose sheet is being written: its name as it is stored, and the task's id."""

    role: str
    task_id: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """A character as it is shown.

    Attributes:
        character: the row.
        task_id: the job that writes it, else the last one that wrote all of it; None if unknown.
        is_unfinished: whether that job is queued or running.
        quoted: by category, the fields that the source contains word for word.
    """

    character: Character
    task_id: int | None
    is_unfinished: bool
    quoted: Mapping[str, Sequence[str]]


class Characters:
    """The characters of all users. Every method takes the user's id, and blocks.

    Args:
        database: where they are stored.
        tasks: queues the jobs.
        limits: the number of characters that one user may have.

    Raises (every method with a `role`): NotFoundError: the user has no character of that name.
    """

    def __init__(self, database: Database, tasks: Tasks, limits: Limits | None = None) -> None:
        self._database = database
        self._tasks = tasks
        self._limits = limits or Limits()
        tasks.rule_retries(CATEGORY, _refuse_category_retry)

    def listed(self, user_id: int) -> list[CharacterSummary]:
        """A summary of each character, the most recently used first."""
        with self._database.read() as reading:
            return characters.summaries(reading, user_id)

    def create(self, user_id: int, new: NewCharacter) -> Created:
        """Create a character and queue the job that writes its sheet.

        Raises:
            InvalidRequestError: the name cannot be used.
            NameTakenError: the user has a character of that name.
            CharacterLimitError: the user has as many characters as allowed.
            LimitExceededError: the user has as many unfinished jobs as allowed.
        """
        name = checked_name(new.role, "role")
        source = own_source(new.source)
        if new.title:
            source["title"] = new.title
        with self._database.write() as writing:
            self._check_limit(writing, user_id)
            character = characters.create(
                writing,
                user_id=user_id,
                name=name,
                language=new.language,
                source=source,
                source_text=new.text,
            )
            return Created(name, self._queue_whole(writing, character, new.model))

    def sheet(self, user_id: int, role: str) -> Sheet:
        """The character with its categories."""
        with self._database.read() as reading:
            character = _found(reading, user_id, role)
            unfinished = _unfinished_jobs(reading, character)
            whole = _key(CHARACTER, character.id)
            job = next(iter(unfinished), None) or jobs.newest(reading, user_id, whole)
        return Sheet(
            character=character,
            task_id=None if job is None else job.id,
            is_unfinished=bool(unfinished),
            quoted=quoted_fields(character.profile, character.source_text),
        )

    def save(
        self,
        user_id: int,
        role: str,
        changes: Mapping[str, Any],
        *,
        version: int,
        first_message: str | None = None,
    ) -> int:
        """Replace the categories that `changes` contains; returns the new version.

        Raises:
            InvalidRequestError: a category or field is unknown or malformed; names it.
            StaleVersionError: the character was changed since `version`.
        """
        with self._database.read() as reading:
            there = _found(reading, user_id, role)
        if there.version != version:
            raise StaleVersionError
        # Outside the transaction, which would hold up every other writer.
        _check_categories(as_language(there.language), changes)
        profile = there.profile | dict(changes)
        with self._database.write() as writing:
            saved = characters.save_profile(writing, there.id, profile, expected_version=version)
            if first_message is not None:
                characters.set_first_message(writing, there.id, first_message)
        return saved

    def retry_category(self, user_id: int, role: str, name: str, model: str | None = None) -> int:
        """Queue a rewrite of one category or of the biography; returns the task's id.

        If the user edits it before the rewrite is stored, the edit stays.

        Raises:
            NotFoundError: also if there is no such category.
            ConflictError: the whole character is being written.
            LimitExceededError: the user has as many unfinished jobs as allowed.
        """
        with self._database.write() as writing:
            users.take_turn(writing, user_id)
            there = _found(writing, user_id, role)
            language = as_language(there.language)
            if find_category(language, name) is None and name != BIOGRAPHY[language]:
                raise NotFoundError
            _refuse_while_written(writing, there.id)
            payload = {
                "character_id": there.id,
                "role": there.name,
                "category": name,
                "model": model,
                "replaces": fingerprint(part_of(there, name)),
            }
            return self._queue(writing, CATEGORY, there, payload, name)

    def complete(self, user_id: int, role: str, model: str | None = None) -> int:
        """Queue the writing of what is missing, say after a failed job; returns the task's id.

        If nothing is missing, the task ends without a model call.

        Raises:
            LimitExceededError: the user has as many unfinished jobs as allowed.
        """
        with self._database.write() as writing:
            return self._queue_whole(writing, _found(writing, user_id, role), model)

    def rename(self, user_id: int, role: str, new_name: str) -> str:
        """Rename it; returns the new name as it is stored.

        Raises:
            InvalidRequestError: the name cannot be used.
            NameTakenError: the user has another character of that name.
        """
        name = checked_name(new_name, "new_name")
        with self._database.write() as writing:
            characters.rename(writing, _found(writing, user_id, role).id, name)
        return name

    def copy(self, user_id: int, role: str, new_name: str | None = None) -> str:
        """Duplicate it; returns the name of the duplicate, a numbered one unless given.

        Raises:
            InvalidRequestError: the name cannot be used.
            NameTakenError: the user has a character of that name.
            CharacterLimitError: the user has as many characters as allowed.
        """
        wanted = None if new_name is None else checked_name(new_name, "new_name")
        with self._database.write() as writing:
            original = _found(writing, user_id, role)
            self._check_limit(writing, user_id)
            name = wanted or _free_name(writing, user_id, original.name)
            characters.copy(writing, user_id, original.id, name)
        return name

    def remove(self, user_id: int, role: str) -> None:
        """Delete it so that it can be restored, and cancel its jobs."""
        with self._database.write() as writing:
            there = _found(writing, user_id, role)
            unfinished = _unfinished_jobs(writing, there)
            characters.remove(writing, user_id, there.id)
        for job in unfinished:
            self._tasks.cancel(user_id, job.id)

    def restore(self, user_id: int, role: str) -> None:
        """Bring back the character of that name that was deleted last.

        Raises:
            NameTakenError: the user has another character of that name by now.
            CharacterLimitError: the user has as many characters as allowed.
        """
        with self._database.write() as writing:
            there = characters.last_deleted(writing, user_id, normalized_name(role))
            if there is None:
                raise NotFoundError
            self._check_limit(writing, user_id)
            characters.restore(writing, user_id, there.id)

    def memories(self, user_id: int, role: str) -> dict[MemoryTier, list[str]]:
        """Its memories by tier."""
        with self._database.read() as reading:
            found = memories.listed(reading, _found(reading, user_id, role).id)
        tiers: dict[MemoryTier, list[str]] = {"short": [], "long": []}
        for memory in found:
            tiers[memory.tier].append(memory.content)
        return tiers

    def set_memories(
        self, user_id: int, role: str, tiers: Mapping[MemoryTier, Sequence[str]]
    ) -> None:
        """Replace its memories in each of the given tiers."""
        with self._database.write() as writing:
            there = _found(writing, user_id, role)
            for tier, contents in tiers.items():
                memories.replace(writing, there.id, tier, contents)

    def _check_limit(self, writing: Writing, user_id: int) -> None:
        users.take_turn(writing, user_id)
        self._limits.refuse_more_characters(characters.count(writing, user_id))

    def _queue_whole(self, writing: Writing, character: Character, model: str | None) -> int:
        payload = {"character_id": character.id, "role": character.name, "model": model}
        return self._queue(writing, CHARACTER, character, payload)

    def _queue(
        self,
        writing: Writing,
        kind: str,
        character: Character,
        payload: dict[str, Any],
        part: str | None = None,
    ) -> int:
        return self._tasks.queue(
            writing,
            kind=kind,
            payload=payload,
            user_id=character.user_id,
            dedupe_key=_key(kind, character.id, part),
        )


def structured(sheet: Sheet) -> dict[str, Any]:
    """The sheet as the HTTP API shows it: the categories by name, then the other fields."""
    character = sheet.character
    language = as_language(character.language)
    order = [category.name for category in PROFILE_CATEGORIES[language]]
    # The extracted facts are for the model, not for readers.
    source = {key: value for key, value in (character.source or {}).items() if key != "facts"}
    return {
        **{name: character.profile[name] for name in order if name in character.profile},
        SOURCE[language]: source,
        "id": character.id,
        "role": character.name,
        "language": language,
        "version": character.version,
        "first_message": character.first_message,
        "quoted": sheet.quoted,
        "task_id": sheet.task_id,
        "is_unfinished": sheet.is_unfinished,
        "updated_at": character.updated_at.isoformat(),
    }


def _check_categories(language: Language, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        category = find_category(language, name)
        if category is None:
            raise InvalidRequestError(f"{name} is no category of this character.", field=name)
        category.check(value)


def _found(reading: Reading, user_id: int, role: str) -> Character:
    there = characters.get(reading, user_id, normalized_name(role))
    if there is None:
        raise NotFoundError
    return there


def _free_name(reading: Reading, user_id: int, name: str) -> str:
    number = 2
    while True:
        suffix = f" {number}"
        candidate = name[: MAX_NAME_CHARS - len(suffix)] + suffix
        if characters.get(reading, user_id, candidate) is None:
            return candidate
        number += 1


def _refuse_category_retry(writing: Writing, category_job: Job) -> None:
    _refuse_while_written(writing, category_job.payload["character_id"])


def _refuse_while_written(writing: Writing, character_id: int) -> None:
    if jobs.unfinished(writing, [_key(CHARACTER, character_id)]):
        raise ConflictError("The character is being written; wait for the end, or cancel.")


def _key(kind: str, character_id: int, part: str | None = None) -> str:
    """The `dedupe_key` of a character's job, by which it is found."""
    key = f"{kind}:{character_id}"
    return key if part is None else f"{key}:{part}"


def _unfinished_jobs(reading: Reading, character: Character) -> list[Job]:
    """The queued and running jobs of a character; the one that writes all of it comes first."""
    language = as_language(character.language)
    parts = [*(category.name for category in PROFILE_CATEGORIES[language]), BIOGRAPHY[language]]
    keys = [_key(CATEGORY, character.id, part) for part in parts]
    found = jobs.unfinished(reading, [_key(CHARACTER, character.id), *keys])
    return sorted(found, key=lambda job: job.kind != CHARACTER)
