"""A user's own code passes `mypy --strict`: xwe says that it is typed (py.typed)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Reading Flask's types takes seconds, but only the first time.
CACHE = ROOT / ".cache" / "mypy-of-users"

BRIDGED = """
from flask import Flask
from xwe import AsyncBridge

class Shop(Flask):
    pass

AsyncBridge(Flask(__name__))
AsyncBridge(max_running=4).init_app(Shop(__name__))
"""

NOT_AN_APP = """
from xwe import AsyncBridge

AsyncBridge("shop")
"""


@pytest.mark.parametrize(
    ("program", "problem"),
    [(BRIDGED, None), (NOT_AN_APP, 'incompatible type "str"')],
    ids=["a Flask app", "something else"],
)
def test_the_bridge_takes_a_flask_app_and_nothing_else(
    tmp_path: Path, program: str, problem: str | None
) -> None:
    """The second program proves that mypy does look: an app of type Any would pass both."""
    source = tmp_path / "program.py"
    source.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", CACHE]
    done = subprocess.run(
        [*command, source], cwd=ROOT, capture_output=True, text=True, timeout=140, check=False
    )
    if problem is None:
        assert (done.stdout.splitlines()[-1], done.returncode) == (
            "Success: no issues found in 1 source file",
            0,
        )
    else:
        assert problem in done.stdout
        assert done.returncode == 1
