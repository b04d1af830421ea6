"""The command line."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from xwe.cli.commands import xwe_command
from xwe.settings.describing import env_example, markdown_table
from xwe.settings.variables import VARIABLES


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())


def invoke(*arguments):
    return CliRunner().invoke(xwe_command, arguments)


def test_help_names_every_command_and_imports_none():
    code = (
        "import sys; from xwe.cli.commands import xwe_command\n"
        "xwe_command(['--help'], standalone_mode=False)\n"
        "assert not {'flask', 'gunicorn', 'aiohttp', 'xwe.web', 'xwe.mock'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("run", "mock", "config"):
        assert f"  {name} " in done.stdout


def test_an_unknown_command_is_refused():
    assert invoke("dance").exit_code == 2


def test_every_command_of_the_table_exists():
    for name in ("run", "mock", "config"):
        result = invoke(name, "--help")
        assert result.exit_code == 0, result.output


def test_config_shows_every_setting_with_its_origin(tmp_path):
    (tmp_path / ".env").write_text("LLM_RPM=60\n", encoding="utf-8")
    os.environ["PORT"] = "9000"
    lines = invoke("config").stdout.splitlines()
    assert len(lines) == len(VARIABLES)
    words = {line.split()[0]: line.split()[1:3] for line in lines}
    assert words["PORT"] == ["9000", "environment"]
    assert words["LLM_RPM"] == ["60", ".env"]
    assert words["HOST"] == ["127.0.0.1", "default"]


def test_config_hides_secrets():
    os.environ.update(DEEPSEEK_API_KEY="sk-canary", XWE_API_TOKEN="canary-token")
    result = invoke("config")
    assert "canary" not in result.output
    assert "(hidden)" in result.output


def test_config_names_misspelt_variables():
    os.environ["LLM_ASYNC_WORKER"] = "7"
    assert "Did you mean LLM_ASYNC_WORKERS?" in invoke("config").stderr


def test_config_prints_the_example_and_the_table():
    assert invoke("config", "--example").stdout == env_example()
    assert invoke("config", "--table").stdout == markdown_table()


def test_a_wrong_value_is_one_line_on_standard_error():
    os.environ["LLM_ASYNC_WORKERS"] = "five"
    result = invoke("config")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "xwe: LLM_ASYNC_WORKERS='five' cannot be used: a whole number from 1 to 1000000\n"
    )
