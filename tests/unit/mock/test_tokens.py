"""The demo model's tokens."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xwe.mock.tokens import estimate_prompt_tokens, estimate_tokens, split_tokens

# The machine may be busy with other tests.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(st.text())
@UNHURRIED
def test_tokens_joined_are_the_text(text):
    assert "".join(split_tokens(text)) == text
    assert all(split_tokens(text))


def test_a_chinese_character_is_a_token_and_so_is_a_short_word_with_its_space():
    assert split_tokens("你好，世界") == ("你", "好", "，", "世", "界")
    assert split_tokens("a demo model.\n\nNext") == ("a", " demo", " model", ".", "\n\n", "Next")


@given(st.text())
@UNHURRIED
def test_an_estimate_is_about_a_quarter_of_the_bytes(text):
    size = len(text.encode("utf-8", "replace"))
    assert size <= 4 * estimate_tokens(text) < size + 4


def test_a_prompt_counts_its_messages_parts_and_calls():
    plain = estimate_prompt_tokens([{"role": "user", "content": "hello"}])
    longer = estimate_prompt_tokens(
        [
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]},
        ]
    )
    assert 0 < plain < longer
