"""The live view of LLM_ASYNC_*: read at every call, and never guessed."""

import pytest

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.errors import SettingsError

READERS = {
    "LLM_ASYNC_WORKERS": AsyncConfig.get_worker_count,
    "LLM_ASYNC_QUEUE_SIZE": AsyncConfig.get_queue_size,
    "LLM_ASYNC_TIMEOUT": AsyncConfig.get_timeout,
    "LLM_ASYNC_ENABLED": AsyncConfig.is_async_enabled,
}


@pytest.mark.parametrize("unset", [None, ""])
def test_the_documents_defaults_hold_where_nothing_is_set(unset, monkeypatch):
    for name in READERS:
        if unset is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, unset)
    assert [read() for read in READERS.values()] == [5, 100, 30.0, True]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LLM_ASYNC_WORKERS", "12", 12),
        ("LLM_ASYNC_QUEUE_SIZE", "0", 0),
        ("LLM_ASYNC_TIMEOUT", "2.5", 2.5),
        ("LLM_ASYNC_ENABLED", "false", False),
        ("LLM_ASYNC_ENABLED", "TRUE", True),
    ],
)
def test_a_change_is_seen_at_the_next_call(name, text, value, monkeypatch):
    before = READERS[name]()
    monkeypatch.setenv(name, text)
    assert READERS[name]() == value
    monkeypatch.delenv(name)
    assert READERS[name]() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LLM_ASYNC_WORKERS", "0"),
        ("LLM_ASYNC_WORKERS", "many"),
        ("LLM_ASYNC_QUEUE_SIZE", "-1"),
        ("LLM_ASYNC_TIMEOUT", "0"),
        ("LLM_ASYNC_TIMEOUT", "nan"),
        ("LLM_ASYNC_ENABLED", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_used_names_its_variable(name, text, monkeypatch):
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=name):
        READERS[name]()
