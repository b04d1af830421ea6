"""What the routes of characters accept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xwe.services.characters.bundled_texts import sample
from xwe.services.characters.categories import LANGUAGES, SOURCE, Language
from xwe.services.characters.service import MAX_MEMORIES, NewCharacter
from xwe.services.characters.sources import FETCHED_KINDS, MAX_SOURCE_CHARS
from xwe.storage.records import MemoryTier
from xwe.web.bodies import fields

_SOURCES = ("text", "sample", *FETCHED_KINDS)
_MAX_SHORT_CHARS = 200
_MAX_MEMORY_CHARS = 4_000
_MAX_FIRST_MESSAGE_CHARS = 20_000

_TIERS: Mapping[str, MemoryTier] = {"short_term": "short", "long_term": "long"}

# Beside the categories, a sheet has these; sent back as they were read, they change nothing.
_NOT_CATEGORIES = frozenset(
    (
        *SOURCE.values(),
        *("id", "role", "language", "version", "first_message", "quoted"),
        *("task_id", "is_unfinished", "updated_at"),
    )
)


@dataclass(frozen=True, slots=True)
class SheetChange:
    """What is to be changed of a sheet; `version` is None where the header has to say it."""

    categories: Mapping[str, Any]
    version: int | None
    first_message: str | None


def new_character(body: Mapping[str, Any]) -> NewCharacter:
    """Check `{role, source, text?, title?, language?, model?}`; a sample brings its own name."""
    kind = fields.one_of(body, "source", _SOURCES, "text")
    language: Language = fields.one_of(body, "language", LANGUAGES, "zh")
    if kind == "sample":
        ours = sample(language)
        role = fields.optional_text(body, "role", _MAX_SHORT_CHARS) or ours.name
        return NewCharacter(role, kind, ours.text, language, _model(body))
    return NewCharacter(
        role=fields.text(body, "role", _MAX_SHORT_CHARS),
        source=kind,
        text=fields.text(body, "text", MAX_SOURCE_CHARS) if kind == "text" else "",
        language=language,
        model=_model(body),
        title=fields.optional_text(body, "title", _MAX_SHORT_CHARS),
    )


def sheet_change(body: Mapping[str, Any]) -> SheetChange:
    """Check `{version?, first_message?, <category>: {…}}`; the categories by the service."""
    version = body.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise fields.invalid("version", "must be a whole number")
    return SheetChange(
        categories={name: value for name, value in body.items() if name not in _NOT_CATEGORIES},
        version=version,
        first_message=fields.optional_text(body, "first_message", _MAX_FIRST_MESSAGE_CHARS),
    )


def version_of(header: str | None, change: SheetChange) -> int:
    """The version that a change is meant for, from If-Match or else from the body."""
    if header is not None:
        version = fields.parse_whole_number(header.strip().removeprefix("W/").strip('"'))
        if version is None:
            raise fields.invalid("If-Match", 'must be the version that was read, such as "3"')
        return version
    if change.version is None:
        raise fields.invalid("version", "is missing: send the one that was read, or If-Match")
    return change.version


def model_choice(body: Mapping[str, Any]) -> str | None:
    """Check `{model?}`."""
    return _model(body)


def new_name(body: Mapping[str, Any]) -> str:
    """Check `{new_name}`."""
    return fields.text(body, "new_name", _MAX_SHORT_CHARS)


def optional_new_name(body: Mapping[str, Any]) -> str | None:
    """Check `{new_name?}`."""
    return fields.optional_text(body, "new_name", _MAX_SHORT_CHARS) or None


def memory_tiers(body: Mapping[str, Any]) -> dict[MemoryTier, list[str]]:
    """Check `{short_term?, long_term?}`; a tier that is not there stays as it is."""
    tiers: dict[MemoryTier, list[str]] = {}
    for name, tier in _TIERS.items():
        if body.get(name) is None:
            continue
        texts = [
            fields.bounded_text(value, f"{name}[{at}]", _MAX_MEMORY_CHARS)
            for at, value in enumerate(fields.items(body, name, MAX_MEMORIES, "texts"))
        ]
        tiers[tier] = [text.strip() for text in texts if text.strip()]
    return tiers


def _model(body: Mapping[str, Any]) -> str | None:
    return fields.optional_text(body, "model", _MAX_SHORT_CHARS) or None
