"""What is said about the settings is made from their one table."""

from pathlib import Path

from dotenv import dotenv_values

from xwe.settings.describing import env_example, markdown_table
from xwe.settings.variables import VARIABLES

ROOT = Path(__file__).parents[2]


def test_env_example_is_what_the_table_says():
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example(), "run: make fix"


def test_a_copy_of_env_example_changes_nothing():
    assert dotenv_values(ROOT / ".env.example") == {}


def test_env_example_names_every_variable_once_with_its_default():
    lines = env_example().splitlines()
    for variable in VARIABLES:
        assert lines.count(f"# {variable.name}={variable.default}") == 1


def test_the_settings_page_is_what_the_table_says():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == markdown_table(), "run: make fix"
