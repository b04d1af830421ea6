"""Characters as their users handle them: made, read, edited by category, renamed, brought back."""

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
from xwe.services.characters.names import MAX_NAME_CHARS, as_kept, checked_name
from xwe.services.characters.parts import fingerprint, part_of
from xwe.services.characters.profile_text import quoted_fields
from xwe.services.characters.sources import SourceKind, own_source
from xwe.services.limits import Limits
from xwe.services.tasks import Tasks
from xwe.storage.database import Database
from xwe.storage.records import Character, CharacterSummary, Job, MemoryTier
from xwe.storage.repositories import characters, jobs, memories, users
from xwe.storage.units import Reading, Writing

MAX_MEMORIES: Final = 1_000
_UNFINISHED: Final = ("queued", "running")


@dataclass(frozen=True, slots=True)
class NewCharacter:
    """What a character is to be made from.

    Attributes:
        role: its name.
        source: where its text comes from.
        text: the text, where the user gives it.
        language: of the sheet.
        model: another than the usual one.
        title: the article's title; the name unless given.
    """

    role: str
    source: SourceKind
    text: str = ""
    language: Language = "zh"
    model: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A character that is being written: its name as it is kept, and the task."""

    role: str
    task_id: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """A character as it is shown.

    Attributes:
        character: the stored values.
        task_id: the newest job that writes or wrote it.
        is_unfinished: whether that job waits or runs.
        quoted: by category, the fields that stand in the source word for word.
    """

    character: Character
    task_id: int | None
    is_unfinished: bool
    quoted: Mapping[str, Sequence[str]]


class Characters:
    """The characters of all users; every method takes whose they are, and blocks.

    Args:
        database: where they are.
        tasks: queues the work.
        limits: how many characters one user may have.

    Raises (from every method with a `role`): NotFoundError: the user has no character of that name.
    """

    def __init__(self, database: Database, tasks: Tasks, limits: Limits | None = None) -> None:
        self._database = database
        self._tasks = tasks
        self._limits = limits or Limits()
        tasks.rule_retries(CATEGORY, _refuse_beside_the_whole)

    def listed(self, user_id: int) -> list[CharacterSummary]:
        """One line for each character, the one talked to last first."""
        with self._database.read() as reading:
            return characters.summaries(reading, user_id)

    def create(self, user_id: int, asked: NewCharacter) -> Made:
        """Make a character and queue its writing.

        Raises:
            InvalidRequestError: the name cannot be used.
            NameTakenError: the user has one of that name.
            CharacterLimitError: the user has as many as may.
            LimitExceededError: the user has enough work queued.
        """
        name = checked_name(asked.role, "role")
        source = own_source(asked.source)
        if asked.title:
            source["title"] = asked.title
        with self._database.write() as writing:
            self._make_room(writing, user_id)
            made = characters.create(
                writing,
                user_id=user_id,
                name=name,
                language=asked.language,
                source=source,
                source_text=asked.text,
            )
            payload = {"character_id": made.id, "role": name, "model": asked.model}
            return Made(name, self._queue(writing, CHARACTER, made, payload, ""))

    def sheet(self, user_id: int, role: str) -> Sheet:
        """The character with its categories."""
        with self._database.read() as reading:
            character = _found(reading, user_id, role)
            job = _newest_job(reading, character)
        return Sheet(
            character=character,
            task_id=None if job is None else job.id,
            is_unfinished=job is not None and job.state in _UNFINISHED,
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
        """Replace the categories that are among `changes`; the new version.

        Raises:
            InvalidRequestError: a category does not have its shape; names it.
            StaleVersionError: the character was changed since that version.
        """
        with self._database.read() as reading:
            there = _found(reading, user_id, role)
        if there.version != version:
            raise StaleVersionError
        # Not within the transaction: whoever else has something to write would wait for it.
        _check_categories(as_language(there.language), changes)
        profile = there.profile | dict(changes)
        with self._database.write() as writing:
            saved = characters.save_profile(writing, there.id, profile, expected_version=version)
            if first_message is not None:
                characters.set_first_message(writing, there.id, first_message)
        return saved

    def retry_category(self, user_id: int, role: str, name: str, model: str | None = None) -> int:
        """Have one category (or the biography) written anew; the task's id.

        What the user writes there meanwhile stays.

        Raises:
            NotFoundError: also where there is no such category.
            ConflictError: the whole character is being written just now.
            LimitExceededError: the user has enough work queued.
        """
        with self._database.write() as writing:
            users.take_turn(writing, user_id)
            there = _found(writing, user_id, role)
            language = as_language(there.language)
            if find_category(language, name) is None and name != BIOGRAPHY[language]:
                raise NotFoundError
            _refuse_while_written(writing, user_id, there.id)
            payload = {
                "character_id": there.id,
                "role": there.name,
                "category": name,
                "model": model,
                "replaces": fingerprint(part_of(there, name)),
            }
            return self._queue(writing, CATEGORY, there, payload, f":{name}")

    def complete(self, user_id: int, role: str, model: str | None = None) -> int:
        """Have what is missing written, after a job that failed or was cancelled; the task's id.

        Where nothing is, the task ends without a call of the model.

        Raises:
            LimitExceededError: the user has enough work queued.
        """
        with self._database.write() as writing:
            there = _found(writing, user_id, role)
            payload = {"character_id": there.id, "role": there.name, "model": model}
            return self._queue(writing, CHARACTER, there, payload, "")

    def rename(self, user_id: int, role: str, new_name: str) -> str:
        """Give it another name; the name as it is kept.

        Raises:
            InvalidRequestError: the name cannot be used.
            NameTakenError: the user has another one of that name.
        """
        name = checked_name(new_name, "new_name")
        with self._database.write() as writing:
            characters.rename(writing, _found(writing, user_id, role).id, name)
        return name

    def copy(self, user_id: int, role: str, new_name: str | None = None) -> str:
        """A second character with the same sheet; its name.

        Raises:
            InvalidRequestError: the name cannot be used.
            NameTakenError: the user has one of that name.
            CharacterLimitError: the user has as many as may.
        """
        wanted = None if new_name is None else checked_name(new_name, "new_name")
        with self._database.write() as writing:
            original = _found(writing, user_id, role)
            self._make_room(writing, user_id)
            name = wanted or _free_name(writing, user_id, original.name)
            characters.copy(writing, user_id, original.id, name)
        return name

    def remove(self, user_id: int, role: str) -> None:
        """Delete it, in a way that can be undone; what is written for it is cancelled."""
        with self._database.write() as writing:
            there = _found(writing, user_id, role)
            unfinished = [
                *_jobs_of(writing, user_id, there.id, CHARACTER),
                *_jobs_of(writing, user_id, there.id, CATEGORY),
            ]
            characters.remove(writing, user_id, there.id)
        for job in unfinished:
            self._tasks.cancel(user_id, job.id)

    def restore(self, user_id: int, role: str) -> None:
        """Bring back the one of that name that was deleted last.

        Raises:
            NameTakenError: the user has made another one of that name since.
            CharacterLimitError: the user has as many as may.
        """
        with self._database.write() as writing:
            there = characters.last_deleted(writing, user_id, as_kept(role))
            if there is None:
                raise NotFoundError
            self._make_room(writing, user_id)
            characters.restore(writing, user_id, there.id)

    def memories(self, user_id: int, role: str) -> dict[MemoryTier, list[str]]:
        """What it remembers, by tier."""
        with self._database.read() as reading:
            found = memories.listed(reading, _found(reading, user_id, role).id)
        tiers: dict[MemoryTier, list[str]] = {"short": [], "long": []}
        for memory in found:
            tiers[memory.tier].append(memory.content)
        return tiers

    def set_memories(
        self, user_id: int, role: str, tiers: Mapping[MemoryTier, Sequence[str]]
    ) -> None:
        """Replace the tiers that are given."""
        with self._database.write() as writing:
            there = _found(writing, user_id, role)
            for tier, contents in tiers.items():
                memories.replace(writing, there.id, tier, contents)

    def _make_room(self, writing: Writing, user_id: int) -> None:
        users.take_turn(writing, user_id)
        self._limits.refuse_more_characters(characters.count(writing, user_id))

    def _queue(
        self,
        writing: Writing,
        kind: str,
        character: Character,
        payload: dict[str, Any],
        part: str,
    ) -> int:
        return self._tasks.queue(
            writing,
            kind=kind,
            payload=payload,
            user_id=character.user_id,
            dedupe_key=_key(kind, character.id) + part,
        )


def structured(sheet: Sheet) -> dict[str, Any]:
    """The sheet as the HTTP API shows it: the categories by name, and what else is known."""
    character = sheet.character
    language = as_language(character.language)
    order = [category.name for category in PROFILE_CATEGORIES[language]]
    # The extracted facts are a means, not something to read.
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
    there = characters.get(reading, user_id, as_kept(role))
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


def _refuse_beside_the_whole(writing: Writing, category_job: Job) -> None:
    character_id = category_job.payload["character_id"]
    _refuse_while_written(writing, category_job.user_id or 0, character_id)


def _refuse_while_written(writing: Writing, user_id: int, character_id: int) -> None:
    if _jobs_of(writing, user_id, character_id, CHARACTER):
        raise ConflictError("The character is being written; wait for the end, or cancel.")


def _key(kind: str, character_id: int) -> str:
    """What the character's jobs of a kind are found by; a category's has its name behind it."""
    return f"{kind}:{character_id}"


def _jobs_of(reading: Reading, user_id: int, character_id: int, kind: str) -> list[Job]:
    """The character's unfinished jobs of a kind."""
    key = _key(kind, character_id)
    return [
        job
        for state in ("queued", "running")
        for job in jobs.listed(reading, user_id=user_id, key=key, state=state)
    ]


def _newest_job(reading: Reading, character: Character) -> Job | None:
    """The job that tells most about the sheet: one under way, else the last one of the whole."""
    user_id, ours = character.user_id, character.id
    under_way = [
        job for kind in (CHARACTER, CATEGORY) for job in _jobs_of(reading, user_id, ours, kind)
    ]
    ended = jobs.listed(reading, user_id=user_id, key=_key(CHARACTER, ours), limit=1)
    return next(iter([*under_way, *ended]), None)
