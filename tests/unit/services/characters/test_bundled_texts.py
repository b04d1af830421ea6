"""Prompts are files; an operator's come before ours."""

import pytest

from xwe.services.characters.bundled_texts import OWN_PROMPTS, Prompts
from xwe.services.characters.categories import LANGUAGES

VALUES = {
    "category": ("name", "category", "fields", "facts"),
    "bio": ("name", "biography", "first_message", "profile"),
    "facts": ("name", "part", "parts", "most", "text"),
    "system": (),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", VALUES)
def test_every_prompt_takes_what_it_is_given(language, name):
    text = Prompts().text(language, name, **{field: f"<{field}>" for field in VALUES[name]})
    assert all(f"<{field}>" in text for field in VALUES[name])
    assert "$" not in text


def test_both_languages_have_the_same_prompts():
    files = [{file.name for file in (OWN_PROMPTS / code).iterdir()} for code in LANGUAGES]
    assert files[0] == files[1] == {f"{name}.md" for name in VALUES}


def test_an_operators_file_replaces_ours_and_the_others_stay(tmp_path):
    (tmp_path / "zh").mkdir()
    mine = tmp_path / "zh" / "category.md"
    mine.write_text("写 $name，花费 $5。{$facts}", encoding="utf-8")
    prompts = Prompts(tmp_path)
    assert prompts.text("zh", "category", name="悟空", facts="石头") == "写 悟空，花费 $5。{石头}"
    assert prompts.text("zh", "system") == Prompts().text("zh", "system")
    mine.write_text("新的", encoding="utf-8")
    assert prompts.text("zh", "category", name="悟空") == "新的"


def test_what_is_filled_in_is_not_read_as_a_prompt():
    filled = Prompts().text(
        "zh", "category", name="$facts", category="x", fields="", facts="secret"
    )
    assert "“$facts”" in filled
