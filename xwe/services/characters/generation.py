"""The jobs that turn a source into a character's sheet.

Source, facts, eight categories at once, a biography. Each result is stored as soon as it exists,
so that a later attempt does only what is missing. What a user has written is never overwritten.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.nlp.llm_client import CallOptions, LLMClient
from xwe.errors import NotFoundError, XweError
from xwe.jobs.work import Handler, Work
from xwe.services.characters.bundled_texts import Prompts
from xwe.services.characters.categories import (
    BIOGRAPHY,
    FIRST_MESSAGE,
    PROFILE_CATEGORIES,
    SOURCE,
    Language,
    as_language,
)
from xwe.services.characters.facts import DIRECT_CHARS, Ask, extract_facts
from xwe.services.characters.sheet import needs_writing
from xwe.services.characters.sheet_writing import MATERIAL_PERCENT, MESSAGES, SheetWriting
from xwe.services.characters.sources import FETCHED_KINDS, Encyclopaedias
from xwe.storage.database import Database
from xwe.storage.database_threads import in_database
from xwe.storage.records import Character
from xwe.storage.repositories import characters

CHARACTER: Final = "character"
CATEGORY: Final = "character_category"

# A category is a page of text, and no request waits for it.
CALL_TIMEOUT_S: Final = 120.0
TEMPERATURE: Final = 0.7


class CharacterGeneration:
    """Runs the jobs that `Characters` queues.

    Args:
        database: where the characters are stored.
        client: asks the model.
        prompts: what it is asked with.
        encyclopaedias: fetch articles.
        call_timeout_s: the limit for one model call, retries included.
    """

    def __init__(
        self,
        database: Database,
        client: LLMClient,
        *,
        prompts: Prompts | None = None,
        encyclopaedias: Encyclopaedias | None = None,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._database = database
        self._client = client
        self._prompts = prompts or Prompts()
        self._encyclopaedias = encyclopaedias or Encyclopaedias()
        self._call_timeout_s = call_timeout_s

    @property
    def handlers(self) -> dict[str, Handler]:
        """The handlers by kind of job."""
        return {CHARACTER: self.make_character, CATEGORY: self.make_category}

    async def make_character(self, work: Work) -> dict[str, Any]:
        """Write what is missing in the character's sheet.

        A category that fails is reported and can be retried alone; the others are stored.

        Raises:
            XweError: every category failed.
        """
        character = await in_database(self._find, work)
        if character is None:  # deleted since it was queued
            return {"removed": True}
        names = [category.name for category in PROFILE_CATEGORIES[as_language(character.language)]]
        return await self._write(work, character, names, {})

    async def make_category(self, work: Work) -> dict[str, Any]:
        """Rewrite one category or the biography, unless it was changed since the request.

        Raises:
            XweError: it could not be written.
        """
        character = await in_database(self._find, work)
        if character is None:
            return {"removed": True}
        name = work.payload["category"]
        return await self._write(work, character, [name], {name: work.payload.get("replaces", "")})

    async def _write(
        self, work: Work, character: Character, parts: list[str], replacing: Mapping[str, str]
    ) -> dict[str, Any]:
        """Write those of the parts that need it, then the summary that is made from all parts."""
        language = as_language(character.language)
        basics = PROFILE_CATEGORIES[language][0].name
        summary = (BIOGRAPHY[language], FIRST_MESSAGE[language])
        requested = {*parts, *summary} if {basics, summary[0]} & {*parts} else {*parts}
        missing = {part for part in requested if needs_writing(character, part, replacing)}
        if not missing:
            return {"role": character.name, "failed": []}
        categories = [each for each in PROFILE_CATEGORIES[language] if each.name in missing]
        try:
            writing = await self._sheet(work, character, replacing)
            errors = await writing.write_categories(categories)
            if categories and len(errors) == len(categories):
                raise next(iter(errors.values()))
            if missing.intersection(summary) and basics not in errors:
                error = await writing.write_biography()
                if error is not None:
                    errors[summary[0]] = error
            if errors and not categories:
                raise errors[summary[0]]
            return await writing.finish({"role": character.name, "failed": list(errors)})
        except NotFoundError:
            return {"removed": True}

    def _find(self, work: Work) -> Character | None:
        with self._database.read() as reading:
            return characters.by_id(reading, work.user_id or 0, int(work.payload["character_id"]))

    async def _sheet(
        self, work: Work, character: Character, replacing: Mapping[str, str]
    ) -> SheetWriting:
        language = as_language(character.language)
        ask = self._asker(language, work.payload.get("model"))
        part = SOURCE[language]
        try:
            material = await self._material(work, character, ask)
        except XweError as error:
            failed = {"state": "error", "error": error.code, "message": error.message}
            await work.progress(0, MESSAGES[language]["source"], {part: failed})
            raise
        if part in work.detail:
            message = MESSAGES[language]["categories"]
            await work.progress(MATERIAL_PERCENT, message, {part: {"state": "done"}})
        return SheetWriting(
            work,
            self._database,
            character,
            material=material,
            replacing=replacing,
            prompts=self._prompts,
            ask=ask,
        )

    def _asker(self, language: Language, model: str | None) -> Ask:
        system = self._prompts.text(language, "system")
        options: CallOptions = {
            "temperature": TEMPERATURE,
            "timeout_s": self._call_timeout_s,
            "model": model,
        }

        async def ask(question: str, schema: dict[str, Any]) -> Any:
            messages: list[Any] = [
                {"role": "system", "content": system},
                {"role": "user", "content": question},
            ]
            if AsyncConfig.is_async_enabled():
                return await self._client.structured_async(messages, schema, **options)
            # With the kill switch on, a call blocks its thread, which must not be the loop's.
            return await asyncio.to_thread(self._client.structured, messages, schema, **options)

        return ask

    async def _material(self, work: Work, character: Character, ask: Ask) -> str:
        """The text that the sheet is written from. What is fetched or extracted is stored."""
        language = as_language(character.language)
        source, text = dict(character.source or {}), character.source_text
        facts: str | None = source.get("facts")
        if facts:
            return facts
        if not text and source.get("kind") in FETCHED_KINDS:
            await work.progress(0, MESSAGES[language]["source"])
            kind, title = source["kind"], source.get("title") or character.name
            article = await self._encyclopaedias.article(kind, title)
            source, text = source | article.source, article.text
            await in_database(self._store_source, work, character, source, text)
        if len(text) > DIRECT_CHARS:
            await work.progress(MATERIAL_PERCENT // 2, MESSAGES[language]["facts"])
            text_facts = await extract_facts(text, character.name, language, self._prompts, ask)
            source["facts"] = text_facts
            await in_database(self._store_source, work, character, source, text)
            return text_facts
        return text or character.name

    def _store_source(
        self, work: Work, character: Character, source: dict[str, Any], text: str
    ) -> None:
        message = MESSAGES[as_language(character.language)]["facts"]
        with self._database.write() as writing:
            characters.set_source(writing, character.id, source, text)
            work.checkpoint(writing, percent=MATERIAL_PERCENT // 2, message=message)
