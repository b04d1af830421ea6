"""The parts of a sheet that are written one by one, and which of them a job has to leave alone.

Its parts are the categories, less what is written from all of them: the biography, which stands in
the first category, and the first message.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from xwe.services.characters.categories import (
    BIOGRAPHY,
    FIRST_MESSAGE,
    PROFILE_CATEGORIES,
    as_language,
)
from xwe.storage.records import Character


def part_of(character: Character, name: str) -> Any:
    """What the sheet says in that part; empty where it says nothing yet."""
    language = as_language(character.language)
    biography = BIOGRAPHY[language]
    if name == FIRST_MESSAGE[language]:
        return character.first_message.strip()
    if name == biography:
        basics = PROFILE_CATEGORIES[language][0].name
        return character.profile.get(basics, {}).get(biography, "").strip()
    category = character.profile.get(name, {})
    return {field: value for field, value in category.items() if field != biography}


def fingerprint(part: Any) -> str:
    """Tells one text of a part from any other."""
    return hashlib.sha256(orjson.dumps(part, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_kept(character: Character, name: str, replacing: Mapping[str, str]) -> bool:
    """Whether a part is there, and none of those that are to be written anew.

    Args:
        character: as it is now.
        name: the part's.
        replacing: by part, the fingerprint of the text that somebody wants another for. One that
            has been changed since is newer than the wish.
    """
    there = part_of(character, name)
    return bool(there) and replacing.get(name) != fingerprint(there)
