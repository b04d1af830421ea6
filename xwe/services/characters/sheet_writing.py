"""One attempt at writing a sheet: all categories at once, each stored when it is done."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from xwe.core.concurrency.gather import gather_with_limit
from xwe.errors import NotFoundError, XweError
from xwe.jobs.work import Work
from xwe.services.characters.bundled_texts import Prompts
from xwe.services.characters.categories import (
    BIOGRAPHY,
    FIRST_MESSAGE,
    PROFILE_CATEGORIES,
    Category,
    as_language,
    biography_schema,
)
from xwe.services.characters.facts import Ask
from xwe.services.characters.sheet import as_text, needs_writing, part_of
from xwe.storage.database import Database
from xwe.storage.database_threads import in_database
from xwe.storage.records import Character
from xwe.storage.repositories import characters
from xwe.storage.units import Writing

# The progress, in percent, when the material is complete and when the categories are.
MATERIAL_PERCENT: Final = 10
CATEGORIES_PERCENT: Final = 85

MESSAGES: Final = {
    "zh": {
        "source": "正在获取资料",
        "facts": "正在阅读资料",
        "categories": "正在撰写八个部分",
        "biography": "正在撰写人物简介",
    },
    "en": {
        "source": "Fetching the material",
        "facts": "Reading the material",
        "categories": "Writing the eight parts",
        "biography": "Writing the biography",
    },
}


class SheetWriting:
    """Writes one character's categories from its material.

    Args:
        work: the attempt that this is part of.
        database: where the character is stored.
        character: the row as it was when the job began.
        material: the text or facts that every part is written from.
        replacing: the parts that may be overwritten; see `needs_writing`.
        prompts: what the model is asked with.
        ask: asks the model.
    """

    def __init__(
        self,
        work: Work,
        database: Database,
        character: Character,
        *,
        material: str,
        replacing: Mapping[str, str],
        prompts: Prompts,
        ask: Ask,
    ) -> None:
        self._work = work
        self._database = database
        self._character = character
        self._material = material
        self._replacing = replacing
        self._prompts = prompts
        self._ask = ask
        self._language = as_language(character.language)
        self._total = len(PROFILE_CATEGORIES[self._language])
        self._done = self._total
        # One write at a time, so that the progress never goes backwards.
        self._saving = asyncio.Lock()

    async def write_categories(self, wanted: Sequence[Category]) -> dict[str, XweError]:
        """Write them all at once; returns the errors of those that failed, by name."""
        names = [category.name for category in wanted]
        self._done = self._total - len(names)
        earlier = {
            category.name: {"state": "done"}
            for category in PROFILE_CATEGORIES[self._language]
            if category.name not in names and part_of(self._character, category.name)
        }
        running = {name: {"state": "running"} for name in names}
        await self._report(earlier | running)
        errors = await gather_with_limit(
            map(self._write_category, wanted), max(1, len(names)), return_exceptions=False
        )
        return {name: error for name, error in zip(names, errors, strict=True) if error is not None}

    async def _write_category(self, category: Category) -> XweError | None:
        biography = BIOGRAPHY[self._language]
        fields = [field for field in category.fields if field != biography]
        question = self._prompts.text(
            self._language,
            "category",
            name=self._character.name,
            category=category.name,
            fields="、".join(fields) if self._language == "zh" else ", ".join(fields),
            facts=self._material,
        )

        def save(writing: Writing, value: Any) -> None:
            character = self._locked(writing)
            if not needs_writing(character, category.name, self._replacing):
                return
            if biography in category.fields:  # another part, which this one must not erase
                stored = character.profile.get(category.name, {})
                value = {**value, biography: stored.get(biography, "")}
            in_order = {field: value[field] for field in category.fields}
            characters.save_category(writing, self._character.id, category.name, in_order)

        schema = category.schema(biography)
        return await self._write_part(category.name, lambda: self._ask(question, schema), save)

    async def _write_part(
        self,
        name: str,
        ask: Callable[[], Awaitable[Any]],
        save: Callable[[Writing, Any], None],
    ) -> XweError | None:
        """Ask for a part and store it with a checkpoint; an error is stored and returned."""
        began = time.perf_counter()
        try:
            value = await ask()
        except XweError as error:
            failed = {"state": "error", "error": error.code, "message": error.message}
            await self._report({name: failed | {"seconds": _seconds_since(began)}})
            return error
        seconds = _seconds_since(began)

        def store() -> None:
            with self._database.write() as writing:
                save(writing, value)
                self._checkpoint(writing, self._detail(name, {"state": "done", "seconds": seconds}))

        async with self._saving:
            self._done += 1
            await in_database(store)
        return None

    def _detail(self, name: str, state: dict[str, Any]) -> dict[str, Any]:
        # A task shows its eight categories, and the biography only once it has failed.
        names = {category.name for category in PROFILE_CATEGORIES[self._language]}
        return {name: state} if name in names | set(self._work.detail) else {}

    async def write_biography(self) -> XweError | None:
        """Write the biography and the first message from the sheet as it is now.

        Only what needs writing is stored; where neither does, the model is not asked.
        """
        biography, first_message = BIOGRAPHY[self._language], FIRST_MESSAGE[self._language]
        basics = PROFILE_CATEGORIES[self._language][0].name
        character = await in_database(self._read)
        parts = (biography, first_message)
        if not any(needs_writing(character, part, self._replacing) for part in parts):
            return None
        message = MESSAGES[self._language]["biography"]
        await self._work.progress(CATEGORIES_PERCENT, message)
        question = self._prompts.text(
            self._language,
            "bio",
            name=self._character.name,
            biography=biography,
            first_message=first_message,
            profile=as_text(character.profile),
        )

        def save(writing: Writing, value: Any) -> None:
            character = self._locked(writing)
            if needs_writing(character, biography, self._replacing):
                basic = character.profile.get(basics, {}) | {biography: value[biography]}
                characters.save_category(writing, character.id, basics, basic)
            if needs_writing(character, first_message, self._replacing):
                characters.set_first_message(writing, character.id, value[first_message])

        schema = biography_schema(self._language)
        return await self._write_part(biography, lambda: self._ask(question, schema), save)

    async def finish(self, result: dict[str, Any]) -> dict[str, Any]:
        """End the job with this result."""

        def end() -> None:
            with self._database.write() as writing:
                self._work.finish(writing, result)

        await in_database(end)
        return result

    def _locked(self, writing: Writing) -> Character:
        character = characters.held(writing, self._character.user_id, self._character.id)
        if character is None:
            raise NotFoundError
        return character

    def _read(self) -> Character:
        with self._database.read() as reading:
            character = characters.by_id(reading, self._character.user_id, self._character.id)
        if character is None:
            raise NotFoundError
        return character

    async def _report(self, detail: dict[str, Any]) -> None:
        def report() -> None:
            with self._database.write() as writing:
                self._checkpoint(writing, detail)

        async with self._saving:
            await in_database(report)

    def _checkpoint(self, writing: Writing, detail: dict[str, Any]) -> None:
        share = min(self._done, self._total) / self._total
        percent = MATERIAL_PERCENT + (CATEGORIES_PERCENT - MATERIAL_PERCENT) * share
        message = MESSAGES[self._language]["categories"]
        self._work.checkpoint(writing, percent=round(percent), message=message, detail=detail)


def _seconds_since(began: float) -> float:
    return round(time.perf_counter() - began, 2)
