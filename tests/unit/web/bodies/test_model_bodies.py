"""What the model routes accept, and how a refusal names the field."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.errors import InvalidRequestError
from xwe.web.bodies import fields, model
from xwe.web.bodies.model import ChatRequest

USER = {"role": "user", "content": "hi"}


def test_a_chat_becomes_the_messages_that_the_model_gets() -> None:
    asked = model.chat_request(
        {"message": "hi", "system_prompt": "be brief", "temperature": 1, "max_tokens": 9}
    )
    assert asked == ChatRequest([{"role": "system", "content": "be brief"}, USER], 1, 9)


def test_what_is_left_out_is_left_to_the_provider() -> None:
    for body in ({"message": "hi"}, {"message": "hi", "temperature": None, "system_prompt": ""}):
        assert model.chat_request(body) == ChatRequest([USER], None, None)


def test_unknown_fields_are_ignored() -> None:
    assert model.chat_request({"message": "hi", "theme": "dark"}).messages == [USER]
    messages = [{**USER, "id": 7}]
    asked = model.conversation_request({"messages": messages, "new_message": "and?"})
    assert asked.messages == [USER, {"role": "user", "content": "and?"}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": None}, "message"),
        ({"message": 7}, "message"),
        ({"message": ["hi"]}, "message"),
        ({"message": ""}, "message"),
        ({"message": " \n"}, "message"),
        ({"message": "a\0b"}, "message"),
        ({"message": "x" * (fields.MAX_TEXT_CHARS + 1)}, "message"),
        ({"message": "hi", "system_prompt": 1}, "system_prompt"),
        ({"message": "hi", "system_prompt": "a\0"}, "system_prompt"),
        ({"message": "hi", "temperature": "hot"}, "temperature"),
        ({"message": "hi", "temperature": True}, "temperature"),
        ({"message": "hi", "temperature": -0.1}, "temperature"),
        ({"message": "hi", "temperature": 2.1}, "temperature"),
        ({"message": "hi", "temperature": float("nan")}, "temperature"),
        ({"message": "hi", "max_tokens": 0}, "max_tokens"),
        ({"message": "hi", "max_tokens": 1.5}, "max_tokens"),
        ({"message": "hi", "max_tokens": True}, "max_tokens"),
        ({"message": "hi", "max_tokens": 10**9}, "max_tokens"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_chat_that_cannot_be_used_names_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"^{field} ") as refused:
        model.chat_request(body)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "messages"),
        ("hi", "messages"),
        ([USER] * (model.MAX_MESSAGES + 1), "messages"),
        ([USER, "hi"], "messages[1]"),
        ([{"content": "hi"}], "messages[0].role"),
        ([{"role": "tool", "content": "hi"}], "messages[0].role"),
        ([{"role": ["user"], "content": "hi"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content"),
        ([{"role": "user", "content": "\0"}], "messages[0].content"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_conversation_that_cannot_be_used_names_its_field(messages: Any, field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        model.conversation_request({"messages": messages, "new_message": "hi"})
    assert refused.value.field == field


TOLD = [USER, {"role": "assistant", "content": "hello"}]


@pytest.mark.parametrize(
    ("schema", "field"),
    [(model.chat_request, "message"), (model.stream_request, "prompt")],
    ids=["/api/llm/stream", "/chat"],
)
def test_a_streamed_question_follows_the_conversation_that_the_client_kept(
    schema: Callable[[dict[str, Any]], ChatRequest], field: str
) -> None:
    """Neither the system's word nor an empty conversation is lost on the way."""
    asked = {"role": "user", "content": "and?"}
    assert schema({field: "and?", "messages": TOLD}).messages == [*TOLD, asked]
    for nothing in (None, []):
        assert schema({field: "and?", "messages": nothing}).messages == [asked]
    system = {"role": "system", "content": "be brief"}
    assert schema({field: "and?", "messages": [system, USER]}).messages == [system, USER, asked]


def test_a_system_prompt_stands_before_the_conversation() -> None:
    asked = model.chat_request({"message": "and?", "messages": TOLD, "system_prompt": "be brief"})
    roles = [message["role"] for message in asked.messages]
    assert roles == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("schema", "field"),
    [(model.chat_request, "message"), (model.stream_request, "prompt")],
    ids=["/api/llm/stream", "/chat"],
)
@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ("hi", "messages must be a list of messages."),
        ({"0": USER}, "messages must be a list of messages."),
        ([USER, "hi"], "messages[1] must be an object with role and content."),
        (
            [{"role": "tool", "content": "hi"}],
            "messages[0].role must be one of assistant, system, user.",
        ),
        ([USER, {"role": "user", "content": None}], "messages[1].content must be a text."),
        ([{**USER, "content": "\0"}], "messages[0].content must not hold NUL characters."),
        (
            [USER] * (model.MAX_MESSAGES + 1),
            "messages must hold at most 1000 messages, not 1001.",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_kept_conversation_that_cannot_be_used_says_what_is_wrong_with_it(
    schema: Callable[[dict[str, Any]], ChatRequest], field: str, messages: Any, problem: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        schema({field: "and?", "messages": messages})
    assert refused.value.message == problem
    assert problem.startswith(f"{refused.value.field} ")


def test_the_clients_own_list_is_left_alone() -> None:
    messages = [dict(USER)]
    model.conversation_request({"messages": messages, "new_message": "and?"})
    assert messages == [USER]


def test_a_batch_checks_its_list_at_once_and_its_items_one_by_one() -> None:
    batch = model.batch_request({"prompts": ["a", 7, "c"], "limit": 2})
    assert (batch.prompts, batch.limit) == (["a", 7, "c"], 2)
    assert model.batch_item(batch, 0).messages == [{"role": "user", "content": "a"}]
    assert model.batch_item(batch, 0).max_tokens is None
    short = model.batch_request({"prompts": ["a"], "max_tokens": 64})
    assert model.batch_item(short, 0).max_tokens == 64
    with pytest.raises(InvalidRequestError) as refused:
        model.batch_item(batch, 1)
    assert refused.value.field == "prompts[1]"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompts"),
        ({"prompts": "a"}, "prompts"),
        ({"prompts": ["a"] * (model.MAX_PROMPTS + 1)}, "prompts"),
        ({"prompts": ["a"], "limit": 0}, "limit"),
        ({"prompts": ["a"], "limit": 101}, "limit"),
        ({"prompts": ["a"], "limit": "2"}, "limit"),
        ({"prompts": ["a"], "max_tokens": 0}, "max_tokens"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_batch_that_cannot_be_used_names_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        model.batch_request(body)
    assert refused.value.field == field


def test_a_streamed_question_may_have_a_conversation_before_it() -> None:
    assert model.stream_request({"prompt": "hi"}).messages == [USER]
    asked = model.stream_request({"prompt": "and?", "messages": [USER]})
    assert asked.messages == [USER, {"role": "user", "content": "and?"}]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["message", "system_prompt", "temperature", "max_tokens", "messages", "new_message"]
FIELDS += ["prompts", "limit", "prompt"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES))
def test_any_json_is_either_a_request_or_a_named_problem(body: dict[str, Any]) -> None:
    """No type that JSON can hold makes a schema stumble."""
    for schema in (
        model.chat_request,
        model.conversation_request,
        model.batch_request,
        model.stream_request,
    ):
        with contextlib.suppress(InvalidRequestError):
            schema(body)
