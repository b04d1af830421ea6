"""The demo model quotes the text that it is given, in the language that is asked for."""

import random

import pytest

from xwe.mock.behaviour import Behaviour
from xwe.mock.demo_model import answer
from xwe.mock.excerpts import excerpt
from xwe.mock.topic import asked_language, read_topic
from xwe.services.characters.bundled_texts import sample

RNG = random.Random(1)  # noqa: S311 - a choice among sentences


def topic(language):
    return read_topic(f"About “{sample(language).name}”\n\nMaterial:\n{sample(language).text}")


@pytest.mark.parametrize(
    ("language", "field", "tells"),
    [
        ("zh", "外貌特征", "毛脸雷公嘴"),
        ("zh", "说话方式", "俺老孙"),
        ("zh", "性别", "男"),
        ("zh", "限制", "水"),
        ("en", "appearance", "Holmes|eyes|lean"),
        ("en", "gender", "male"),
        ("en", "fields_of_knowledge", "tobacco"),
    ],
)
def test_a_field_gets_a_sentence_that_is_about_it(language, field, tells):
    found = excerpt(field, topic(language), RNG)
    assert any(tell in found for tell in tells.split("|"))
    assert len(found) < 8 or found in " ".join(sample(language).text.split())


def test_a_text_in_another_language_is_not_quoted():
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Write in English."},
            {"role": "user", "content": f"“X”\n\n资料：\n{sample('zh').text}"},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "reply",
                "schema": {
                    "type": "object",
                    "properties": {"appearance": {"type": "string"}, "origin": {"type": "string"}},
                },
            },
        },
    }
    assert answer(body, Behaviour()).text.isascii()


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


def test_a_message_without_a_text_is_not_quoted():
    assert excerpt("外貌特征", read_topic("你好"), RNG) is None
