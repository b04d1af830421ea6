"""The key that signs sessions is made once, whoever starts first."""

import stat
import subprocess
import sys

import pytest

from xwe.errors import SettingsError
from xwe.settings import load_settings
from xwe.settings.secret_key import ensure_secret_key

MAKE_ONE = """
import sys
from xwe.settings import load_settings
from xwe.settings.secret_key import ensure_secret_key
settings = load_settings({"XWE_INSTANCE_DIR": sys.argv[1]})
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
sys.stdout.write(ensure_secret_key(settings).access.secret_key)
"""


def settings_in(directory, **environ):
    return load_settings({"XWE_INSTANCE_DIR": str(directory), **environ})


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    directory = tmp_path / "instance"
    settings = settings_in(directory)
    assert settings.access.secret_key is None
    assert not directory.exists()
    key = ensure_secret_key(settings).access.secret_key
    assert len(key) >= 32
    assert ensure_secret_key(settings).access.secret_key == key
    assert stat.S_IMODE((directory / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in directory.iterdir()] == ["secret_key"]


def test_the_operators_key_wins_and_nothing_is_written(tmp_path):
    settings = settings_in(tmp_path / "instance", XWE_SECRET_KEY="mine")
    assert ensure_secret_key(settings).access.secret_key == "mine"
    assert not (tmp_path / "instance").exists()


def test_processes_that_start_together_get_the_same_key(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE_ONE, str(tmp_path / "instance")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = [process.communicate()[0] for process in processes]
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 32


def test_a_process_that_comes_second_takes_the_firsts_key(tmp_path, monkeypatch):
    settings = settings_in(tmp_path)
    first = ensure_secret_key(settings).access.secret_key
    # As if the file had appeared between the look and the making.
    monkeypatch.setattr("pathlib.Path.exists", lambda path: False)
    assert ensure_secret_key(settings).access.secret_key == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 64])
def test_a_spoilt_key_file_is_reported_in_one_line(tmp_path, content):
    (tmp_path / "secret_key").write_bytes(content)
    with pytest.raises(SettingsError, match="XWE_INSTANCE_DIR") as caught:
        ensure_secret_key(settings_in(tmp_path))
    assert "\n" not in caught.value.message


def test_an_instance_directory_that_cannot_be_made_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="XWE_INSTANCE_DIR"):
        ensure_secret_key(settings_in(tmp_path / "file" / "instance"))
