"""The catalogues are complete, and a reader gets the right one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

import xwe.web
from xwe.web.pages.languages import COOKIE, Languages

LANGUAGES = Languages.load()
NOT_WORDS = re.compile(r"{#.*?#}|{%.*?%}|{{.*?}}|<svg.*?</svg>|<pre.*?</pre>", re.DOTALL)
TAGS = re.compile(r"<[^>]*>")
WEB = Path(xwe.web.__file__).parent


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{name}[{index}]")
    else:
        yield name, value


TEXTS = {code: dict(leaves(catalogue.texts)) for code, catalogue in LANGUAGES.catalogues.items()}


def chosen(query: str = "", **headers: str) -> str:
    return LANGUAGES.choose(
        Request(EnvironBuilder(query_string=query, headers=headers).get_environ())
    )


def test_there_are_chinese_and_english() -> None:
    assert set(TEXTS) == {"zh", "en"}


def test_every_text_is_there_in_every_language() -> None:
    assert TEXTS["zh"].keys() == TEXTS["en"].keys()
    for code, texts in TEXTS.items():
        assert [name for name, text in texts.items() if not text.strip()] == [], code


def test_the_same_fields_are_filled_in_everywhere() -> None:
    for name, text in TEXTS["en"].items():
        fields = re.findall(r"\{\w+\}", text)
        assert sorted(fields) == sorted(re.findall(r"\{\w+\}", TEXTS["zh"][name])), name


def test_the_chinese_texts_are_chinese() -> None:
    same = [name for name, text in TEXTS["zh"].items() if text == TEXTS["en"][name]]
    same = [name for name in same if TEXTS["zh"][name] != "{value}%"]  # written alike in both
    names_of_things = {".demo.deepseek"} | {f".chat.example[{i}].icon" for i in range(3)}
    assert set(same) <= names_of_things


def test_no_text_hides_in_templates_or_scripts() -> None:
    """Words that a reader sees come from the catalogues."""
    for script in (WEB / "static" / "js").glob("*.js"):
        assert not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", script.read_text("utf-8")), script
    for template in (WEB / "templates").glob("*.html"):
        source = NOT_WORDS.sub("", template.read_text("utf-8"))
        assert set(TAGS.sub("", source).split()) <= {"xwe", "·"}, template


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-TW", "zh"),
        ("en-GB,zh;q=0.5", "en"),
        ("fr,zh;q=0.5", "zh"),
        ("fr", "en"),
        ("", "en"),
    ],
)
def test_the_browsers_preference_is_followed(accept: str, code: str) -> None:
    assert chosen(**{"Accept-Language": accept}) == code


def test_a_choice_comes_before_the_browsers_preference() -> None:
    assert chosen("lang=zh", **{"Accept-Language": "en"}) == "zh"
    assert chosen(**{"Accept-Language": "en", "Cookie": f"{COOKIE}=zh"}) == "zh"
    assert chosen("lang=en", Cookie=f"{COOKIE}=zh") == "en"


def test_a_choice_that_does_not_exist_is_no_choice() -> None:
    assert chosen("lang=../../etc", **{"Accept-Language": "zh", "Cookie": f"{COOKIE}=xx"}) == "zh"


def test_a_missing_text_is_an_error_not_a_hole() -> None:
    with pytest.raises(KeyError):
        LANGUAGES.catalogues["en"]("composer.no_such_text")


def test_an_errors_title_and_advice_make_two_sentences() -> None:
    """The title stands as a heading too, and gets its stop where both stand in a line."""
    for code, catalogue in LANGUAGES.catalogues.items():
        for name, error in catalogue("script.errors").items():
            assert error["title"][-1] not in ".。", (code, name)
            assert error["advice"][-1] in ".。", (code, name)
