"""Programs in an environment with fewer packages, as a `pip install 'xwe[...]'` would make it.

Nothing is installed: a process of its own hides the packages that would not be there.
"""

import os
import re
import subprocess
import sys
import tomllib
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement  # comes with pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra=""):
    """The requirements in pyproject.toml: the library's own, or those of one extra."""
    return PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]


def installed_for(*requirements):
    """The names of the distributions that pip would install for these requirements."""
    seen = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, asked_by = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": asked_by}):
            continue
        for extra in ("", *requirement.extras):
            wanted = normalized(requirement.name), extra
            if wanted not in seen:
                seen.add(wanted)
                waiting += [(Requirement(text), extra) for text in _needed_by(*wanted)]
    return {name for name, _ in seen}


def _needed_by(name, extra):
    if name == "xwe":
        return declared(extra)
    try:
        return requires(name) or []
    except PackageNotFoundError:  # for another platform, or an extra that no test uses
        return []


def hide_all_but(*requirements):
    """From here on, this process finds only xwe and what the requirements install."""
    kept = installed_for(*requirements) | {"xwe"}
    hidden = {
        module
        for module, owners in packages_distributions().items()
        if not kept & {normalized(owner) for owner in owners}
    }

    class LightFinder(PathFinder):
        @classmethod
        def find_spec(cls, fullname, path=None, target=None):
            is_hidden = fullname.partition(".")[0] in hidden
            return None if is_hidden else super().find_spec(fullname, path, target)

    sys.meta_path[sys.meta_path.index(PathFinder)] = LightFinder
    for name in list(sys.modules):
        if name.partition(".")[0] in hidden:
            del sys.modules[name]


def run_light(requirements, program, cwd, **environ):
    """Run a Python program where only the requirements ("xwe[tools]", "flask") are installed."""
    prelude = f"from light_install import hide_all_but\nhide_all_but(*{list(requirements)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + program],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)} | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
