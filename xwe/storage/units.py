"""Units of work: what a repository's function is given.

Two types, so that the type checker refuses a write in a unit that was opened for reading.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable

Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Reading:
    """A consistent view of the database while the unit is open."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def dialect(self) -> str:
        """Either "sqlite" or "postgresql"."""
        return self.connection.dialect.name

    def execute(
        self, statement: Executable, values: Values | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run one statement; a sequence of values runs it for each."""
        return self.connection.execute(statement, values)


class Writing(Reading):
    """One transaction: committed as a whole, or rolled back when an error leaves the block."""

    __slots__ = ("after_commits",)

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.after_commits: list[Callable[[], None]] = []

    def after_commit(self, act: Callable[[], None]) -> None:
        """Call `act` after the commit, in order; not after a rollback.

        It runs outside the transaction, on the same thread, and may open units of its own.
        """
        self.after_commits.append(act)
