"""Kinds of columns that mean the same on SQLite and on PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

# SQLite counts up by itself only in a column of exactly this type; it has 64 bits there too.
BigId = BigInteger().with_variant(Integer(), "sqlite")

# Not JSONB, which forgets the order in which a profile's fields were written.
Json: JSON[Any] = JSON(none_as_null=True)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. Only aware ones go in, and they come out in UTC, also where none is stored."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In UTC; SQLite keeps it as text, which sorts as the instants do."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone is not an instant")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AnyText(TypeDecorator[str]):
    """Text of any origin. What no database takes (NUL, half a surrogate pair) becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """The text as it can be kept."""
        return None if value is None else storable(value)


def storable(text: str) -> str:
    """`text` with U+FFFD for each character that PostgreSQL or UTF-8 refuses."""
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")


def dump_json(value: Any) -> str:
    """The JSON text of `value`; half surrogate pairs, which JSON cannot carry, become U+FFFD."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return orjson.dumps(_mended(value)).decode()


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    return value


def load_json(text: str | bytes | float) -> Any:
    """The value of a JSON text; SQLite hands out a bare number as the number that it is."""
    return text if isinstance(text, int | float) else orjson.loads(text)
