"""A character's sheet: its name, the parts that are written one by one, and its words.

The parts are the categories without what is written from all of them: the biography, which belongs
to the first category, and the first message.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import orjson

from xwe.errors import InvalidRequestError
from xwe.services.characters.categories import (
    BIOGRAPHY,
    FIRST_MESSAGE,
    PROFILE_CATEGORIES,
    as_language,
)
from xwe.storage.records import Character

MAX_NAME_CHARS: Final = 64
# "new" is the address of a page of ours, and browsers resolve the dots as folders.
_RESERVED_NAMES: Final = frozenset({"new", ".", ".."})
_FORBIDDEN_IN_NAMES: Final = re.compile(
    r"[/\\\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# Anything shorter occurs in any text. Two Chinese characters are a word; two letters are not.
_SHORTEST_QUOTATION: Final = 4
_SHORTEST_CHINESE_QUOTATION: Final = 2
_CHINESE: Final = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af]")
_SEPARATORS: Final = re.compile(r"[\s，。、；：！？,.;:!?“”\"'‘’（）()—-]+")


def normalized_name(name: str) -> str:
    """The spelling of a name that is stored and looked up (Unicode NFC)."""
    return unicodedata.normalize("NFC", name)


def checked_name(name: str, field: str) -> str:
    """The name as it is stored.

    Raises:
        InvalidRequestError: it is empty or too long, or cannot be part of an address; names
            `field`.
    """
    stored = normalized_name(" ".join(name.split()))
    if not stored:
        raise InvalidRequestError(f"{field} must not be empty.", field=field)
    if len(stored) > MAX_NAME_CHARS:
        raise InvalidRequestError(
            f"{field} must be at most {MAX_NAME_CHARS} characters, not {len(stored)}.", field=field
        )
    if _FORBIDDEN_IN_NAMES.search(stored) or stored in _RESERVED_NAMES:
        raise InvalidRequestError(
            f"{field} must be a name without slashes and invisible characters, and not “new”.",
            field=field,
        )
    return stored


def part_of(character: Character, name: str) -> Any:
    """The text or fields of a part; empty while it is not written."""
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
    """Differs whenever a part's content does."""
    return hashlib.sha256(orjson.dumps(part, option=orjson.OPT_SORT_KEYS)).hexdigest()


def needs_writing(character: Character, name: str, replacing: Mapping[str, str]) -> bool:
    """Whether a job may write a part: it is empty, or was asked to be replaced as it still is.

    Args:
        character: the row as it is now.
        name: the part's name.
        replacing: by part, the fingerprint of the content to replace. A part that was changed
            since then stays: the change is newer than the request.
    """
    part = part_of(character, name)
    if not part:
        return True
    return name in replacing and replacing[name] == fingerprint(part)


def as_text(profile: Mapping[str, Any]) -> str:
    """The categories as headings, their fields as lines; empty fields are left out."""
    lines: list[str] = []
    for category, fields in profile.items():
        if not isinstance(fields, Mapping):
            continue
        values = [(name, _in_one_line(value)) for name, value in fields.items()]
        lines += [f"## {category}", *(f"- {name}: {text}" for name, text in values if text), ""]
    return "\n".join(lines).strip()


def _in_one_line(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(str(item) for item in value if str(item).strip())
    return str(value).strip()


def quoted_fields(profile: Mapping[str, Any], source_text: str) -> dict[str, list[str]]:
    """The fields of each category that the source contains word for word, punctuation aside.

    A list counts when one of its items does.
    """
    if not source_text:
        return {}
    source = _without_punctuation(source_text)
    found: dict[str, list[str]] = {}
    for category, fields in profile.items():
        if isinstance(fields, Mapping):
            quoted = [name for name, value in fields.items() if _is_quoted(value, source)]
            if quoted:
                found[category] = quoted
    return found


def _is_quoted(value: Any, source: str) -> bool:
    items = value if isinstance(value, list) else [value]
    texts = (_without_punctuation(str(item)) for item in items)
    return any(_is_long_enough(text) and text in source for text in texts)


def _is_long_enough(text: str) -> bool:
    shortest = _SHORTEST_CHINESE_QUOTATION if _CHINESE.search(text) else _SHORTEST_QUOTATION
    return len(text) >= shortest


def _without_punctuation(text: str) -> str:
    return _SEPARATORS.sub("", text).lower()
