"""What the worker processes of one server know, shared through a directory of snapshots.

A request for the figures may reach any worker, and it answers for all of them. Each worker writes
a snapshot about once a second, and a reader reads those of the others. When a worker exits, the
master adds its totals to those of the workers that exited before, so that a counter never falls
while the server lives.
"""

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from xwe.observability.history import Step
from xwe.observability.totals import Totals
from xwe.observability.vitals import Vitals

# In memory where possible: nobody needs these files once the server has stopped.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made there has a name of its own and is private

# The master's pid follows, so that the leftovers of a killed server can be recognised.
PREFIX = "xwe-figures-"

_WORKER_SUFFIX = ".worker"
_EXITED = "exited"
# The name of an exited worker matters only while a reader may still hold its last snapshot.
_NAMES_STORED = 1000


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """A worker's figures at one moment.

    Attributes:
        name: unique among the workers of this server, even when a pid is reused.
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
        """The snapshot for another process."""
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


class SnapshotDirectory:
    """The snapshots of one server's workers, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def create(cls, uid: int, gid: int) -> Self:
        """A new directory that only the user `uid` can read and write; `remove` deletes it."""
        parent = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
        if os.geteuid() == 0:  # the workers may run as another user
            os.chown(directory, uid, gid)
        return cls(directory)

    def remove(self) -> None:
        """Delete the directory. Idempotent."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def write(self, snapshot: WorkerSnapshot) -> None:
        """Replace this worker's previous snapshot.

        Raises:
            OSError: the directory is gone, or full.
        """
        self._write(f"{snapshot.name}{_WORKER_SUFFIX}", snapshot.to_json())

    def read(self) -> tuple[list[WorkerSnapshot], Totals]:
        """The snapshots of the live workers, and the totals of those that have exited."""
        # In this order, a worker that exits meanwhile is seen once or twice, but never missed.
        # The names tell which one was seen twice.
        found = [self._read_worker(path) for path in self.directory.glob(f"*{_WORKER_SUFFIX}")]
        names, totals = self._read_exited()
        return [each for each in found if each and each.name not in names], totals

    def retire(self, pid: int) -> None:
        """Add the totals of the worker with `pid` to those of the exited. Master only."""
        for path in self.directory.glob(f"{pid}-*{_WORKER_SUFFIX}"):
            snapshot = self._read_worker(path)
            if snapshot is not None:
                names, totals = self._read_exited()
                totals.merge(snapshot.totals)
                names = [*names, snapshot.name][-_NAMES_STORED:]
                self._write(_EXITED, orjson.dumps({"names": names, "totals": totals.as_rows()}))
            path.unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        fresh = self.directory / f"{name}.fresh"
        fresh.write_bytes(data)
        fresh.replace(self.directory / name)

    def _read_exited(self) -> tuple[list[str], Totals]:
        with contextlib.suppress(FileNotFoundError):
            rows = orjson.loads((self.directory / _EXITED).read_bytes())
            return rows["names"], Totals.from_rows(rows["totals"])
        return [], Totals()

    @staticmethod
    def _read_worker(path: Path) -> WorkerSnapshot | None:
        with contextlib.suppress(FileNotFoundError):  # retired a moment ago
            return WorkerSnapshot.from_json(path.read_bytes())
        return None
