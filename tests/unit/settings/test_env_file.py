"""The .env file."""

import os

import pytest

from xwe.errors import SettingsError
from xwe.settings.env_file import read_env_file


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Whatever a test puts into the environment goes with it."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_the_real_environment_wins_over_the_file(tmp_path):
    file = tmp_path / ".env"
    file.write_text("PORT=1\nLLM_MODEL=from-file\nXWE_ACCESS=\n", encoding="utf-8")
    os.environ.update(PORT="2", XWE_ACCESS="open")
    os.environ.pop("LLM_MODEL", None)
    assert read_env_file(file) == {"LLM_MODEL"}
    assert (os.environ["PORT"], os.environ["LLM_MODEL"], os.environ["XWE_ACCESS"]) == (
        "2",
        "from-file",
        "open",
    )


def test_a_key_with_a_dollar_sign_and_a_byte_order_mark_come_through(tmp_path):
    file = tmp_path / ".env"
    file.write_bytes("\ufeffCANARY_ONE='a${HOME}b'\r\nCANARY_TWO=值\r\n".encode())
    read_env_file(file)
    assert os.environ["CANARY_ONE"] == "a${HOME}b"
    assert os.environ["CANARY_TWO"] == "值"


def test_no_file_is_no_error(tmp_path):
    assert read_env_file(tmp_path / ".env") == frozenset()


def test_a_file_that_cannot_be_read_is_reported_in_one_line(tmp_path):
    (tmp_path / "directory").mkdir()
    (tmp_path / "latin").write_bytes(b"KEY=\xff\n")
    for name in ("directory", "latin"):
        with pytest.raises(SettingsError) as caught:
            read_env_file(tmp_path / name)
        assert "\n" not in caught.value.message
