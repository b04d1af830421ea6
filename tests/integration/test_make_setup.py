"""The setup of a fresh checkout, with a Python that only records its arguments."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# As `python -m venv`, it creates an environment with copies of itself; as `xwe`, it serves nothing.
RECORDER = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >> "$CALLS"
case "$*" in
  *"-m venv"*)
    for last; do :; done
    mkdir -p "$last/bin"
    cp "$0" "$last/bin/python"
    cp "$0" "$last/bin/xwe" ;;
  *"-r requirements"*)
    if [ -e "$FAIL" ]; then rm "$FAIL"; exit 1; fi ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "a checkout")


class Checkout:
    """A directory with the Makefile and the files that it depends on."""

    def __init__(self, path):
        self.path = path
        (path / "requirements").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, path / name)
        for name in ("run", "dev", "bench"):
            (path / "requirements" / f"{name}.lock").write_text("")
        self.calls_file, self.fail_file = path / "calls", path / "fail"
        recorder = path / "recorder"
        recorder.write_text(RECORDER)
        recorder.chmod(0o755)

    def make(self, *arguments, python="./recorder"):
        """Run make; returns its exit code and the recorded commands."""
        self.calls_file.write_text("")
        # These tests may run under `make check`; this make must not be its sub-make.
        inherited = {name: value for name, value in os.environ.items() if "MAKE" not in name}
        done = subprocess.run(
            ["make", f"PYTHON={python}", *arguments],
            cwd=self.path,
            env=inherited | {"CALLS": str(self.calls_file), "FAIL": str(self.fail_file)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.output = done.stdout + done.stderr
        return done.returncode, self.calls_file.read_text().splitlines()

    def fail_next_install(self):
        self.fail_file.write_text("")


SERVED = "xwe run"


def test_the_first_run_installs_what_is_pinned_and_serves(checkout):
    code, calls = checkout.make("run")
    assert code == 0, checkout.output
    assert "--require-hashes -r requirements/run.lock" in calls[-3]
    assert "--no-deps --no-build-isolation" in calls[-2]
    assert calls[-1] == SERVED
    assert checkout.output.count("\n") == 1


def test_the_second_run_only_serves(checkout):
    checkout.make("run")
    assert checkout.make("run") == (0, [SERVED])


def test_an_interrupted_set_up_is_done_again(checkout):
    checkout.fail_next_install()
    code, calls = checkout.make("run")
    assert code != 0
    assert SERVED not in calls
    code, calls = checkout.make("run")
    assert code == 0
    assert any("requirements/run.lock" in call for call in calls)
    assert calls[-1] == SERVED


def test_a_changed_lock_is_installed(checkout):
    checkout.make("run")
    later = time.time() + 5
    os.utime(checkout.path / "requirements" / "run.lock", (later, later))
    _, calls = checkout.make("run")
    assert any("requirements/run.lock" in call for call in calls)
    assert not any("venv" in call for call in calls)  # into what is there


def test_the_tests_set_serves_too(checkout):
    checkout.make("test")
    assert checkout.make("run") == (0, [SERVED])
    _, calls = checkout.make("test", "ARGS=-k one")
    assert calls == ["python -m pytest -k one"]


def test_a_moved_checkout_is_installed_anew(checkout):
    checkout.make("run")
    checkout.path.rename(checkout.path.with_name("elsewhere"))
    moved = checkout.path.with_name("elsewhere")
    checkout.path, checkout.calls_file = moved, moved / "calls"
    _, calls = checkout.make("run")
    assert any("requirements/run.lock" in call for call in calls)


def test_without_a_good_python_it_says_what_is_needed(checkout):
    code, _ = checkout.make("run", python="")
    assert code != 0
    assert "CPython 3.11 or newer" in checkout.output


def test_help_is_the_default(checkout):
    code, calls = checkout.make()
    assert (code, calls) == (0, [])
    for target in ("help", "run", "test", "check", "fix", "bench", "lock"):
        assert f"make {target} " in checkout.output
