"""Texts into typed values."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.errors import SettingsError
from xwe.settings import parsing

PARSERS = [value for value in vars(parsing).values() if isinstance(value, parsing.Parser)] + [
    parsing.one_of("a", "b")
]


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (parsing.positive_int, " 8 ", 8),
        (parsing.count, "0", 0),
        (parsing.positive_seconds, "0.25", 0.25),
        (parsing.positive_seconds, ".5", 0.5),
        (parsing.positive_seconds, "30.", 30.0),
        (parsing.boolean, "Yes", True),
        (parsing.boolean, "OFF", False),
        (parsing.one_of("open", "login"), "Login", "login"),
        (parsing.log_level, "debug", "DEBUG"),
        (parsing.host, "::1", "::1"),
        (parsing.host, "localhost", "localhost"),
        (parsing.base_url, "https://api.example.com/v1/", "https://api.example.com/v1"),
        (parsing.database_url, "postgresql+psycopg://u@db/x", "postgresql+psycopg://u@db/x"),
    ],
)
def test_a_good_text_becomes_its_value(parser, text, value):
    assert parser("NAME", text) == value


@given(st.text(max_size=40))
def test_any_text_is_a_value_or_a_settings_error(text):
    for parser in PARSERS:
        with suppress(SettingsError):  # and nothing else
            parser("NAME", text)
