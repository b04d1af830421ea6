"""A directory in which the workers of one server leave their figures for each other.

Any worker may be asked for the figures of all. Each leaves its own about once a second; a reader
reads what is there. When a worker has gone, the master adds its totals to those of the departed,
so that a counter never falls while the server lives.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

import orjson

from xwe.observability.figures import WorkerFigures
from xwe.observability.totals import Totals

# In memory where there is such a place: nobody needs these files after the server's end.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made there has a name of its own and is private

# And the master's pid, so that what a killed one left behind can be told.
PREFIX = "xwe-figures-"

_WORKER_SUFFIX = ".worker"
_DEPARTED = "departed"
# A departed worker's name is only needed while a reader may still hold its file's.
_NAMES_KEPT = 1000


class Blackboard:
    """The figures of a server's workers, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def create(cls, uid: int, gid: int) -> Self:
        """A new one that only the user `uid` may read and write; call `remove` in the end."""
        place = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
        if os.geteuid() == 0:  # the workers may run as somebody else
            os.chown(directory, uid, gid)
        return cls(directory)

    def remove(self) -> None:
        """Delete it. Idempotent."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def leave(self, figures: WorkerFigures) -> None:
        """Replace what this worker left before.

        Raises:
            OSError: the directory has gone, or is full.
        """
        self._write(f"{figures.name}{_WORKER_SUFFIX}", figures.to_json())

    def read(self) -> tuple[list[WorkerFigures], Totals]:
        """What the workers that live have left, and the totals of those that have departed."""
        # In this order: one that departs meanwhile is then seen once or twice, never not at all,
        # and the names say who was seen twice.
        found = [self._read_worker(path) for path in self.directory.glob(f"*{_WORKER_SUFFIX}")]
        names, totals = self._read_departed()
        return [figures for figures in found if figures and figures.name not in names], totals

    def bury(self, pid: int) -> None:
        """Add the totals of the worker that had `pid` to those of the departed. Master only."""
        for path in self.directory.glob(f"{pid}-*{_WORKER_SUFFIX}"):
            figures = self._read_worker(path)
            if figures is not None:
                names, totals = self._read_departed()
                totals.merge(figures.totals)
                rows = {"names": [*names, figures.name][-_NAMES_KEPT:], "totals": totals.as_rows()}
                self._write(_DEPARTED, orjson.dumps(rows))
            path.unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        fresh = self.directory / f"{name}.fresh"
        fresh.write_bytes(data)
        fresh.replace(self.directory / name)

    def _read_departed(self) -> tuple[list[str], Totals]:
        with contextlib.suppress(FileNotFoundError):
            rows = orjson.loads((self.directory / _DEPARTED).read_bytes())
            return rows["names"], Totals.from_rows(rows["totals"])
        return [], Totals()

    @staticmethod
    def _read_worker(path: Path) -> WorkerFigures | None:
        with contextlib.suppress(FileNotFoundError):  # buried in this moment
            return WorkerFigures.from_json(path.read_bytes())
        return None
