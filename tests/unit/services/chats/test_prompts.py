"""What goes into a prompt, and what does not."""

from datetime import UTC, datetime

import pytest

from xwe.services.chats.prompts import estimated_tokens, make_prompt
from xwe.services.chats.values import PromptLimits
from xwe.storage.records import Character, Memory, Spoken

AT = datetime(2026, 1, 1, tzinfo=UTC)


def character(**fields):
    values = {
        "id": 1,
        "user_id": 1,
        "name": "Holmes",
        "language": "en",
        "profile": {},
        "source": None,
        "source_text": "",
        "first_message": "",
        "version": 1,
        "created_at": AT,
        "updated_at": AT,
        "deleted_at": None,
    }
    return Character(**values | fields)


def memory(number, content, *, pinned=False):
    return Memory(number, 1, None, "short", content, 0, pinned, None, AT)


def said(*pairs):
    """Newest first, as the storage returns it."""
    return [Spoken(sender, 1, content) for sender, content in reversed(pairs)]


def prompt(who=None, memories=(), spoken=(), **limits):
    return make_prompt(who or character(), memories, spoken, PromptLimits(**limits))


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("你好", 2), ("你好 ab", 3)]
)
def test_tokens_are_estimated(text, tokens):
    assert estimated_tokens(text) == tokens


def test_the_persona_is_said_in_the_characters_language():
    assert "You are Holmes." in prompt()[0]["content"]
    assert "你是悟空。" in prompt(character(name="悟空", language="zh"))[0]["content"]


def test_the_sheet_is_said_without_where_it_came_from():
    profile = {
        "Background": {"source": "a book", "Past": ["one", "two"], "Secret": None},
        "来源": {"page": "x"},
        "Empty": {},
    }
    system = prompt(character(profile=profile))[0]["content"]
    assert "### Background\nPast: one, two" in system
    assert "a book" not in system
    assert "来源" not in system
    assert "Empty" not in system
    assert "Secret" not in system


def test_a_sheet_beyond_its_budget_is_cut_between_lines():
    profile = {"One": {f"key {n}": "word " * 20 for n in range(100)}}
    system = prompt(character(profile=profile), persona_tokens=200)[0]["content"]
    lines = system.splitlines()
    assert lines[-1].endswith("word")
    assert 3 < len(lines) < 20


def test_pinned_and_the_newest_memories_are_told_in_their_order():
    memories = [memory(1, "pinned " * 4, pinned=True)] + [
        memory(n, f"fact {n}") for n in range(2, 30)
    ]
    system = prompt(memories=memories, memory_tokens=20)[0]["content"]
    told = [line for line in system.splitlines() if line.startswith("- ")]
    assert told[0].startswith("- pinned")
    assert told[-1] == "- fact 29"
    assert "- fact 2" not in told


def test_two_of_one_side_in_a_row_are_one_message():
    spoken = said(("user", "one"), ("user", "two"), ("character", "three"), ("user", "four"))
    assert prompt(spoken=spoken)[1:] == [
        {"role": "user", "content": "one\n\ntwo"},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four"},
    ]


def test_what_is_asked_is_sent_however_long_it_is():
    spoken = said(("user", "before"), ("character", "x"), ("user", "你" * 500))
    assert prompt(spoken=spoken, history_tokens=100)[1:] == [
        {"role": "user", "content": "你" * 500}
    ]
