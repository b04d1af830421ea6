"""What the routes of characters accept: each body as a value, or an error that names the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xwe.errors import InvalidRequestError
from xwe.services.characters.categories import LANGUAGES, SOURCE, Language
from xwe.services.characters.sample_texts import sample
from xwe.services.characters.service import MAX_MEMORIES, NewCharacter
from xwe.services.characters.sources import FETCHED_KINDS, MAX_SOURCE_CHARS
from xwe.storage.records import MemoryTier

_SOURCES = ("text", "sample", *FETCHED_KINDS)
_MAX_SHORT_CHARS = 200
_MAX_MEMORY_CHARS = 4_000
_MAX_FIRST_MESSAGE_CHARS = 20_000
# More digits are no version, and more than the databases take.
_MAX_DIGITS = 18

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
    kind = body.get("source", "text")
    if kind not in _SOURCES:
        raise _invalid("source", f"must be one of {', '.join(_SOURCES)}")
    language = _language(body)
    if kind == "sample":
        ours = sample(language)
        role = _optional(body, "role", _MAX_SHORT_CHARS) or ours.name
        return NewCharacter(role, kind, ours.text, language, _model(body))
    return NewCharacter(
        role=_text(body, "role", _MAX_SHORT_CHARS),
        source=kind,
        text=_text(body, "text", MAX_SOURCE_CHARS) if kind == "text" else "",
        language=language,
        model=_model(body),
        title=_optional(body, "title", _MAX_SHORT_CHARS),
    )


def sheet_change(body: Mapping[str, Any]) -> SheetChange:
    """Check `{version?, first_message?, <category>: {…}}`; the categories by the service."""
    version = body.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise _invalid("version", "must be a whole number")
    return SheetChange(
        categories={name: value for name, value in body.items() if name not in _NOT_CATEGORIES},
        version=version,
        first_message=_optional(body, "first_message", _MAX_FIRST_MESSAGE_CHARS),
    )


def version_of(header: str | None, change: SheetChange) -> int:
    """The version that a change is meant for, from If-Match or else from the body."""
    if header is not None:
        digits = header.strip().removeprefix("W/").strip('"')
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
            raise _invalid("If-Match", 'must be the version that was read, such as "3"')
        return int(digits)
    if change.version is None:
        raise _invalid("version", "is missing: send the one that was read, or If-Match")
    return change.version


def model_choice(body: Mapping[str, Any]) -> str | None:
    """Check `{model?}`."""
    return _model(body)


def new_name(body: Mapping[str, Any]) -> str:
    """Check `{new_name}`."""
    return _text(body, "new_name", _MAX_SHORT_CHARS)


def optional_new_name(body: Mapping[str, Any]) -> str | None:
    """Check `{new_name?}`."""
    return _optional(body, "new_name", _MAX_SHORT_CHARS) or None


def memory_tiers(body: Mapping[str, Any]) -> dict[MemoryTier, list[str]]:
    """Check `{short_term?, long_term?}`; a tier that is not there stays as it is."""
    tiers: dict[MemoryTier, list[str]] = {}
    for name, tier in _TIERS.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, list) or len(value) > MAX_MEMORIES:
            raise _invalid(name, f"must be a list of at most {MAX_MEMORIES} texts")
        texts = [
            _bounded(text, f"{name}[{at}]", _MAX_MEMORY_CHARS) for at, text in enumerate(value)
        ]
        tiers[tier] = [text.strip() for text in texts if text.strip()]
    return tiers


def _language(body: Mapping[str, Any]) -> Language:
    value = body.get("language")
    if value is None:
        return "zh"
    for language in LANGUAGES:
        if value == language:
            return language
    raise _invalid("language", f"must be one of {', '.join(LANGUAGES)}")


def _model(body: Mapping[str, Any]) -> str | None:
    return _optional(body, "model", _MAX_SHORT_CHARS) or None


def _text(body: Mapping[str, Any], field: str, most: int) -> str:
    if body.get(field) is None:
        raise _invalid(field, "is missing")
    text = _bounded(body[field], field, most)
    if not text.strip():
        raise _invalid(field, "must not be empty")
    return text


def _optional(body: Mapping[str, Any], field: str, most: int) -> str | None:
    return None if body.get(field) is None else _bounded(body[field], field, most)


def _bounded(value: Any, field: str, most: int) -> str:
    if not isinstance(value, str):
        raise _invalid(field, "must be a text")
    if len(value) > most:
        raise _invalid(field, f"must be at most {most} characters, not {len(value)}")
    if "\0" in value:
        raise _invalid(field, "must not hold NUL characters")
    return value


def _invalid(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} {problem}.", field=field)
