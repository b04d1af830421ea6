"""Everything that one worker process knows about itself, as one value that crosses processes."""

from dataclasses import dataclass
from typing import Any, Self

import orjson

from xwe.observability.history import Step
from xwe.observability.totals import Totals
from xwe.observability.vitals import Vitals


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """A worker's figures at one moment.

    Attributes:
        name: told apart from every other worker of this server, also one that had its pid.
        pid: of the process.
        started_at: seconds since the epoch.
        vitals: how it is doing now.
        totals: what happened since its start.
        steps: the last minutes, oldest first.
    """

    name: str
    pid: int
    started_at: float
    vitals: Vitals
    totals: Totals
    steps: tuple[Step, ...]

    def to_json(self) -> bytes:
        """The figures for another process."""
        rows = {
            "name": self.name,
            "pid": self.pid,
            "started_at": self.started_at,
            "vitals": self.vitals.as_row(),
            "totals": self.totals.as_rows(),
            "steps": [step.as_row() for step in self.steps],
        }
        return orjson.dumps(rows, option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The reverse of `to_json`."""
        rows: dict[str, Any] = orjson.loads(data)
        return cls(
            name=rows["name"],
            pid=rows["pid"],
            started_at=rows["started_at"],
            vitals=Vitals(**rows["vitals"]),
            totals=Totals.from_rows(rows["totals"]),
            steps=tuple(Step.from_row(row) for row in rows["steps"]),
        )
