"""The registry: which function does which kind of job."""

from collections.abc import Callable
from typing import Any

from xwe.jobs.work import Work

Handler = Callable[[Work], Any]
"""Does a job; what it returns is the result, in JSON's types. It may be an `async def`.

A plain function has a thread of the runner to itself, a coroutine runs on the resident loop. It
may be begun again at any point: effects belong into one transaction with the job's end or with a
checkpoint, or under `Work.key`.
"""


class JobHandlers:
    """What a runner can do. To be filled before the runner starts."""

    def __init__(self) -> None:
        self._by_kind: dict[str, Handler] = {}

    @property
    def kinds(self) -> list[str]:
        """The kinds that there are handlers for."""
        return list(self._by_kind)

    def register(self, kind: str, handler: Handler) -> None:
        """Have `handler` do the jobs of this kind.

        Raises:
            ValueError: another one does.
        """
        if kind in self._by_kind:
            raise ValueError(f"There is a handler for {kind!r} already.")
        self._by_kind[kind] = handler

    def find(self, kind: str) -> Handler:
        """The handler of a kind that is among `kinds`."""
        return self._by_kind[kind]
