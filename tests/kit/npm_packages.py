"""Packages of npm that tests work with, installed once, into the ignored cache."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "npm"
INSTALL_WITHIN_S = 60

# One attempt: without a registry the tests should be skipped soon. And no package's own scripts.
QUIETLY = ("--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts", "--fetch-retries=0")


def npm_installed(name: str, *command: str, files: Iterable[Path] = ()) -> Path:
    """The folder in which `npm <command>` was run; another `name` for what has changed.

    Where npm cannot do it the test is skipped, and fails with XWE_REQUIRE_SERVICES=1.

    Args:
        name: of the folder.
        command: what npm is told, "ci" or "install" and a package.
        files: copied there first, the package.json for instance.
    """
    place = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with CACHE.joinpath(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in other processes want the same folder
        _install(place, name, command, files)
    return place


def _install(place: Path, name: str, command: tuple[str, ...], files: Iterable[Path]) -> None:
    if not place.joinpath("installed").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for file in files:
            shutil.copy(file, place)
        problem = _run(["npm", *command, *QUIETLY, "--prefix", str(place)], place)
        if problem is not None:
            give_up = pytest.fail if os.environ.get("XWE_REQUIRE_SERVICES") == "1" else pytest.skip
            give_up(f"npm cannot install {name}: {problem}")
        place.joinpath("installed").touch()


def _run(command: list[str], place: Path) -> str | None:
    """What went wrong; None when nothing did."""
    try:
        done = subprocess.run(
            command,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=INSTALL_WITHIN_S,
            check=False,
        )
    except FileNotFoundError:
        return "there is no npm"
    except subprocess.TimeoutExpired:
        return f"it took longer than {INSTALL_WITHIN_S} s"
    return done.stderr.strip()[-300:] if done.returncode else None
