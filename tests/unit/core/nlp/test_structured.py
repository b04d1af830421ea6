from collections.abc import Generator

import pytest

from xwe.core.nlp.completion import Completion
from xwe.core.nlp.structured import cut_out_json, structured_dialogue
from xwe.errors import InvalidRequestError, StructuredReplyError

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
QUESTION = [{"role": "user", "content": "谁?"}]
GOOD = '{"name": "李白", "age": 61}'


def finish(dialogue: Generator, text: str, finish_reason: str = "stop"):
    with pytest.raises(StopIteration) as end:
        dialogue.send(Completion(text, finish_reason))
    return end.value.value


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"```{GOOD}```",
        f"好的,这是结果:\n```json\n{GOOD}\n```\n希望有帮助。",
        f"Here it is: {GOOD} I hope it helps.",
        f"\n\n  {GOOD}  ",
        f"```json\n{GOOD}",
    ],
)
def test_json_is_cut_out_of_whatever_the_model_wraps_it_in(text: str) -> None:
    dialogue = structured_dialogue(QUESTION, SCHEMA, "object")
    next(dialogue)
    assert finish(dialogue, text) == {"name": "李白", "age": 61}


def test_a_fence_inside_of_a_string_is_left_alone() -> None:
    assert cut_out_json('["a", "b"]') == '["a", "b"]'
    assert cut_out_json("no json at all") == "no json at all"


@pytest.mark.parametrize(
    ("bad", "finish_reason", "complaint"),
    [
        ("{oops", "stop", "not JSON"),
        ('{"name": "李白"}', "stop", "'age' is a required property"),
        ('{"name": "李白", "age": "old"}', "stop", "$.age"),
        ('{"name": "李', "length", "max_tokens"),
        ("", "stop", "not JSON"),
    ],
)
def test_one_repair_round_shows_the_model_its_own_reply_and_its_error(
    bad: str, finish_reason: str, complaint: str
) -> None:
    dialogue = structured_dialogue(QUESTION, SCHEMA, "object")
    first, _ = next(dialogue)
    mended, _ = dialogue.send(Completion(bad, finish_reason))
    assert mended[: len(first)] == first
    assert mended[-2]["content"] == (bad or "(empty)")
    assert complaint in mended[-1]["content"]
    assert finish(dialogue, GOOD) == {"name": "李白", "age": 61}


def test_a_reply_that_does_not_fit_twice_is_an_error_of_its_own() -> None:
    dialogue = structured_dialogue(QUESTION, SCHEMA, "object")
    next(dialogue)
    dialogue.send(Completion("{oops", "stop"))
    with pytest.raises(StructuredReplyError):
        dialogue.send(Completion("{oops", "stop"))


def test_the_question_and_the_schema_are_what_the_model_is_sent() -> None:
    messages, _ = next(structured_dialogue(QUESTION, SCHEMA, "none"))
    assert messages[0] == QUESTION[0]
    assert '"required":["name","age"]' in messages[-1]["content"]


@pytest.mark.parametrize(
    ("mode", "schema", "expected"),
    [
        ("schema", SCHEMA, "json_schema"),
        ("object", SCHEMA, "json_object"),
        ("object", {"type": "array"}, None),
        ("none", SCHEMA, None),
    ],
)
def test_the_provider_is_asked_for_as_much_as_it_promises(
    mode: str, schema: dict, expected: str | None
) -> None:
    _, response_format = next(structured_dialogue(QUESTION, schema, mode))
    assert (response_format or {}).get("type") == expected


def test_what_is_no_schema_is_refused_before_the_model_is_asked() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        next(structured_dialogue(QUESTION, {"type": "nonsense"}, "object"))
    assert refused.value.field == "schema"
