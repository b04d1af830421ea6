"""The eight categories in two languages, of one shape."""

import pytest
from jsonschema import Draft202012Validator, ValidationError

from xwe.errors import InvalidRequestError
from xwe.services.characters.categories import (
    BIOGRAPHY,
    LANGUAGES,
    MAX_FIELD_CHARS,
    MAX_ITEMS,
    PROFILE_CATEGORIES,
    as_language,
    biography_schema,
    find_category,
)


def test_both_languages_have_the_same_categories_and_fields_by_position():
    chinese, english = (PROFILE_CATEGORIES[language] for language in LANGUAGES)
    assert len(chinese) == len(english) == 8
    for ours, theirs in zip(chinese, english, strict=True):
        assert len(ours.fields) == len(theirs.fields)
        lists = [[field in each.lists for field in each.fields] for each in (ours, theirs)]
        assert lists[0] == lists[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_are_there_once(language):
    categories = PROFILE_CATEGORIES[language]
    assert len({category.name for category in categories}) == 8
    assert all(len(set(category.fields)) == len(category.fields) for category in categories)


def test_a_category_takes_its_fields_and_nothing_else():
    story = find_category("zh", "背景故事")
    value = {"出身": "", "经历": ["一"], "当前处境": "", "关系网络": [], "秘密": ""}
    Draft202012Validator(story.schema()).validate(value)
    for wrong in ({**value, "x": ""}, {**value, "经历": "一"}, {"出身": ""}, []):
        with pytest.raises(ValidationError):
            Draft202012Validator(story.schema()).validate(wrong)


def test_a_field_that_is_written_elsewhere_is_left_out():
    identity = PROFILE_CATEGORIES["zh"][0]
    assert BIOGRAPHY["zh"] == "人物简介"
    assert "人物简介" not in identity.schema("人物简介")["properties"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_schema_is_one(language):
    for schema in (biography_schema(language), *(c.schema() for c in PROFILE_CATEGORIES[language])):
        Draft202012Validator.check_schema(schema)


def test_a_language_that_is_not_known_is_chinese():
    assert [as_language(code) for code in ("en", "zh", "fr", "")] == ["en", "zh", "zh", "zh"]


STORY = find_category("zh", "背景故事")
TOLD = {"出身": "", "经历": ["一"], "当前处境": "", "关系网络": [], "秘密": ""}
LONG = "长" * MAX_FIELD_CHARS


@pytest.mark.parametrize(
    "value",
    [
        TOLD,
        TOLD | {"秘密": LONG, "经历": [LONG] * MAX_ITEMS},
        TOLD | {"秘密": LONG + "长"},
        TOLD | {"经历": [LONG + "长"]},
        TOLD | {"经历": [""] * (MAX_ITEMS + 1)},
        TOLD | {"经历": "一"},
        TOLD | {"经历": ["一", None]},
        TOLD | {"秘密": None},
        TOLD | {"秘密": ["一"]},
        TOLD | {"x": ""},
        {"出身": ""},
        {**dict.fromkeys("abcd", ""), "出身": ""},
        {},
        [],
        [*TOLD],
        "一",
        None,
    ],
)
def test_a_value_is_checked_as_the_schema_says(value):
    is_valid = Draft202012Validator(STORY.schema()).is_valid(value)
    if is_valid:
        STORY.check(value)
        return
    with pytest.raises(InvalidRequestError) as refused:
        STORY.check(value)
    assert refused.value.field.startswith("背景故事")


def test_of_a_list_that_is_too_long_no_item_is_looked_at():
    class Endless(list):
        def __len__(self):
            return MAX_ITEMS + 1

        def __iter__(self):
            raise AssertionError

    with pytest.raises(InvalidRequestError, match="经历 must be a list of at most 200"):
        STORY.check(TOLD | {"经历": Endless()})
