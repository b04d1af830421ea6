"""From rows to records: helpers of the repositories."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Column, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite

from xwe.storage.units import Reading, Writing

R = TypeVar("R")


def now() -> datetime:
    """This instant, as rows store it."""
    return datetime.now(UTC)


def columns(table: Table[Any], record: type) -> list[Column[Any]]:
    """The columns of `table` for a `record`, in its order."""
    return [table.c[field.name] for field in fields(record)]


def fetch_one(
    unit: Reading, record: Callable[..., R], statement: Executable, **values: Any
) -> R | None:
    """The statement's row as a record; None if there is none."""
    row = unit.execute(statement, values).first()
    return None if row is None else record(*row)


def fetch_all(
    unit: Reading, record: Callable[..., R], statement: Executable, **values: Any
) -> list[R]:
    """The statement's rows as records."""
    return [record(*row) for row in unit.execute(statement, values)]


class InsertUnlessTaken:
    """Inserts a row unless a unique constraint forbids it.

    A failed insert would abort PostgreSQL's whole transaction; this one does not fail.
    """

    def __init__(self, table: Table[Any], record: type | None = None) -> None:
        given_back = columns(table, record) if record else list(table.primary_key)
        self._by_dialect = {
            "sqlite": sqlite.insert(table).on_conflict_do_nothing().returning(*given_back),
            "postgresql": postgresql.insert(table).on_conflict_do_nothing().returning(*given_back),
        }

    def __call__(self, unit: Writing, **values: Any) -> Sequence[Any] | None:
        """The new row; None if there was one already."""
        return unit.execute(self._by_dialect[unit.dialect], values).first()
