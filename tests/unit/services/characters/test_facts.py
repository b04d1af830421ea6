"""Long texts are cut where sentences end, and no part's facts crowd out another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.services.characters.bundled_texts import Prompts
from xwe.services.characters.facts import (
    DIRECT_CHARS,
    MAX_FACTS_CHARS,
    extract_facts,
    split_text,
)


@given(st.text(), st.integers(1, 50))
def test_parts_hold_the_whole_text_in_order(text, size):
    parts = list(split_text(text, size))
    assert all(len(part) <= size for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_part_ends_where_a_sentence_does():
    text = "他从石头里出生。他拜师学艺。He came back. He stayed."
    assert list(split_text(text, 16)) == [
        "他从石头里出生。\n他拜师学艺。",
        "He came back.",
        "He stayed.",
    ]


async def test_a_short_text_is_taken_as_it_is():
    async def ask(*_):
        pytest.fail("asked")

    text = "长" * DIRECT_CHARS
    assert await extract_facts(text, "悟空", "zh", Prompts(), ask) == text


async def test_facts_come_in_the_order_of_the_text_and_repeat_nothing():
    asked = []

    async def ask(question, _schema):
        asked.append(question)
        return {"facts": [f"第 {len(asked)} 部分", "总是同一句", " "]}

    facts = await extract_facts("他很强。" * 4000, "悟空", "zh", Prompts(), ask)
    assert facts.splitlines()[:3] == ["第 1 部分", "总是同一句", "第 2 部分"]
    assert facts.count("总是同一句") == 1
    assert f"第 1 部分（共 {len(asked)} 部分）" in asked[0]


async def test_too_many_facts_are_cut_fairly():
    async def ask(_question, _schema):
        ask.calls += 1
        return {"facts": [f"{ask.calls}-{number} " + "长" * 300 for number in range(30)]}

    ask.calls = 0
    facts = await extract_facts("他很强。" * 8000, "悟空", "zh", Prompts(), ask)
    assert len(facts) <= MAX_FACTS_CHARS
    kept = {line.partition("-")[0] for line in facts.splitlines()}
    assert kept == {str(part + 1) for part in range(ask.calls)}


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_one_part_that_fails_fails_the_reading(language):
    async def ask(*_):
        raise RuntimeError("no answer")

    with pytest.raises(RuntimeError, match="no answer"):
        await extract_facts("他很强。" * 4000, "悟空", language, Prompts(), ask)
