"""Sheets: prepared ones for the samples, excerpts and demo data for any other text."""

import json

import pytest

from xwe.mock.behaviour import Behaviour
from xwe.mock.demo_model.answering import answer
from xwe.mock.demo_model.topic import asked_language, detect_language
from xwe.services.characters.bundled_texts import Prompts, sample
from xwe.services.characters.categories import (
    BIOGRAPHY,
    FIRST_MESSAGE,
    LANGUAGES,
    PROFILE_CATEGORIES,
    biography_schema,
)
from xwe.services.characters.facts import FACTS_SCHEMA
from xwe.services.characters.sheet import as_text, quoted_fields

PROMPTS = Prompts()
FERRYMAN = (
    "Old Tom rows the ferry at Greyport. He says little and listens well. Every winter he mends "
    "his boat by lamplight! Nobody knows where he was born."
)


def ask(language, question, schema):
    """What the demo model writes for a question of the application."""
    described = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    messages = [
        {"role": "system", "content": PROMPTS.text(language, "system")},
        {"role": "user", "content": question},
    ]
    body = {"model": "m", "messages": messages, "response_format": described}
    return json.loads(answer(body, Behaviour()).text)


def sheet(language, name, facts):
    """All categories of a character, and the biography and first message made from them."""
    profile = {}
    for category in PROFILE_CATEGORIES[language]:
        question = PROMPTS.text(
            language,
            "category",
            name=name,
            category=category.name,
            fields=", ".join(category.fields),
            facts=facts,
        )
        profile[category.name] = ask(language, question, category.schema(BIOGRAPHY[language]))
    question = PROMPTS.text(
        language,
        "bio",
        name=name,
        biography=BIOGRAPHY[language],
        first_message=FIRST_MESSAGE[language],
        profile=as_text(profile),
    )
    return profile, ask(language, question, biography_schema(language))


def texts_of(profile):
    for fields in profile.values():
        for value in fields.values():
            yield from value if isinstance(value, list) else [value]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_sample_has_a_prepared_sheet_without_a_demo_text_under_any_name(language, is_renamed):
    ours = sample(language)
    name = "齐天大圣" if is_renamed else ours.name
    profile, summary = sheet(language, name, ours.text)
    texts = [*texts_of(profile), *summary.values()]
    assert [text for text in texts if "演示" in text or "demo" in text.lower()] == []
    assert [text for text in texts if "{" in text or not text] == []
    assert len(set(texts)) == len(texts)
    basics = PROFILE_CATEGORIES[language][0]
    assert profile[basics.name][basics.fields[0]] == name
    assert summary[BIOGRAPHY[language]].startswith(name)
    assert len(quoted_fields(profile, ours.text)) >= 3
    lists = [v for fields in profile.values() for v in fields.values() if isinstance(v, list)]
    assert min(map(len, lists)) >= 4


def test_any_other_text_is_quoted_and_what_it_does_not_say_is_not_made_up():
    profile, summary = sheet("en", "Old Tom", FERRYMAN)
    basics = profile["Basic identity"]
    assert basics["Name"] == "Old Tom"
    assert "demo model does not guess" in basics["Age"]
    marked = [text for text in texts_of(profile) if text.startswith("(Demo excerpt) ")]
    assert len(marked) > 20
    assert {text.removeprefix("(Demo excerpt) ") in FERRYMAN for text in marked} == {True}
    experiences = profile["Background story"]["Experiences"]
    assert len(set(experiences)) >= 2
    assert all(text in FERRYMAN for text in experiences)
    assert summary["Biography"].removeprefix("(Demo excerpt) ") in FERRYMAN
    assert summary["First message"].startswith("(Demo) Hello, I am Old Tom.")


def test_a_text_that_names_a_samples_character_is_not_taken_for_the_sample():
    profile, _ = sheet("zh", "孙悟空", "孙悟空从石头里出生，会七十二般变化。他怕烟熏眼睛。")
    assert profile["背景故事"]["秘密"].startswith("（演示摘录）")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_in_another_language_is_not_quoted(language):
    other = sample("zh" if language == "en" else "en")
    profile, summary = sheet(language, "X", other.text)
    texts = [*texts_of(profile), *summary.values()]
    assert {detect_language(text) for text in texts if text != "X"} == {language}


def test_the_facts_of_a_long_text_are_its_sentences():
    question = PROMPTS.text(
        "en", "facts", name="Old Tom", part="1", parts="2", most="30", text=FERRYMAN
    )
    facts = ask("en", question, FACTS_SCHEMA)["facts"]
    assert len(facts) >= 2
    assert all(fact in FERRYMAN for fact in facts)


@pytest.mark.parametrize(
    ("instructions", "language"),
    [
        ("Write in English.", "en"),
        ("Please answer in Chinese", "zh"),
        ("请全部用中文书写。", "zh"),
        ("请用英文回答", "en"),
        ("You are a helpful assistant.", None),
    ],
)
def test_a_language_that_is_asked_for_is_understood(instructions, language):
    assert asked_language(instructions) == language
