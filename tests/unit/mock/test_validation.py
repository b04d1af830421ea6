"""Wrong requests are refused by name, and never cause an error of the server."""

import contextlib
import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xwe.errors import InvalidRequestError
from xwe.mock import Behaviour
from xwe.mock.demo_model.answering import answer
from xwe.mock.validation import find_embedding_refusal, find_refusal

# The machine may be busy with other tests.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

USER = {"role": "user", "content": "hello"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def body(**changes):
    return {"model": "demo", "messages": [USER], **changes}


def talk(*messages):
    return body(messages=list(messages))


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        ({"messages": [USER]}, "model"),
        (body(model=7), "model"),
        (body(model=""), "model"),
        ({"model": "demo"}, "messages"),
        (body(messages=[]), "messages"),
        (body(messages="hello"), "messages"),
        (talk("hello"), "messages[0]"),
        (talk({"role": "robot", "content": "x"}), "messages[0].role"),
        (talk({"content": "x"}), "messages[0].role"),
        (talk({"role": ["user"], "content": "x"}), "messages[0].role"),
        (talk({"role": "user"}), "messages[0].content"),
        (talk({"role": "user", "content": 7}), "messages[0].content"),
        (talk({"role": "user", "content": []}), "messages[0].content"),
        (talk({"role": "user", "content": [{"type": "text"}]}), "messages[0].content[0].text"),
        (talk({"role": "user", "content": [{"type": "song"}]}), "messages[0].content[0]"),
        (talk({"role": "system", "content": [{"type": "image_url"}]}), "messages[0].content[0]"),
        (talk({"role": "assistant", "content": None}), "messages[0].content"),
        (talk({**CALLING, "tool_calls": []}), "messages[0].content"),
        (talk({**CALLING, "tool_calls": [{"id": "x"}]}), "messages[0].tool_calls[0]"),
        (talk(USER, {**CALLING, "tool_calls": [CALL, CALL]}), "messages[1].tool_calls"),
        (talk(RESULT), "messages[0].tool_call_id"),
        (talk(CALLING, {**RESULT, "tool_call_id": "other"}), "messages[1].tool_call_id"),
        (talk(CALLING, RESULT, RESULT), "messages[2].tool_call_id"),
        (talk(USER, CALLING), "messages"),
        (talk(USER, CALLING, USER), "messages[2]"),
        (body(temperature=2.1), "temperature"),
        (body(temperature="hot"), "temperature"),
        (body(temperature=True), "temperature"),
        (body(max_tokens=0), "max_tokens"),
        (body(max_tokens=1.5), "max_tokens"),
        (body(max_completion_tokens=-1), "max_completion_tokens"),
        (body(n=2), "n"),
        (body(stop=7), "stop"),
        (body(stream="yes"), "stream"),
        (body(stream_options={"include_usage": True}), "stream_options"),
        (body(stream=True, stream_options={"include_usage": 1}), "stream_options.include_usage"),
        (body(tools=[]), "tools"),
        (body(tools=[{"type": "function"}]), "tools[0]"),
        (body(tools=[{**TOOL, "function": {"name": "what is it"}}]), "tools[0].function.name"),
        (
            body(tools=[{**TOOL, "function": {"name": "x", "parameters": {"type": "thing"}}}]),
            "tools[0].function.parameters",
        ),
        (body(tool_choice="auto"), "tool_choice"),
        (body(tools=[TOOL], tool_choice="maybe"), "tool_choice"),
        (
            body(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "food"}}),
            "tool_choice",
        ),
        (body(response_format="json"), "response_format.type"),
        (body(response_format={"type": "json_object"}), "messages"),
        (body(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (
            body(response_format={"type": "json_schema", "json_schema": {"schema": {}}}),
            "response_format.json_schema.name",
        ),
        (
            body(response_format={"type": "json_schema", "json_schema": {"name": "x"}}),
            "response_format.json_schema.schema",
        ),
    ],
)
def test_it_refuses_what_providers_refuse(request_body, param):
    refusal = find_refusal(request_body)
    assert refusal is not None
    assert (refusal.param, refusal.status) == (param, 400)


@pytest.mark.parametrize(
    "request_body",
    [
        body(temperature=0, max_tokens=1, top_p=1.0, stop=["a"], stream=False, user=None, n=1),
        body(temperature=2, stream=True, stream_options={"include_usage": True}),
        talk({"role": "developer", "content": "be kind"}, USER),
        talk({"role": "user", "content": [{"type": "text", "text": "see"}, {
            "type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}),
        talk(USER, CALLING, RESULT),
        talk(USER, {**CALLING, "content": "one moment"}, RESULT, USER),
        talk(USER, {"role": "assistant", "content": "hi", "reasoning_content": "hm"}, USER),
        body(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}}),
        body(tools=[TOOL], tool_choice="required", parallel_tool_calls=False),
        body(messages=[{"role": "user", "content": "As JSON"}],
             response_format={"type": "json_object"}),
        body(response_format={"type": "text"}, logit_bias={}, something_new=1),
    ],
)  # fmt: skip
def test_it_accepts_what_providers_accept(request_body):
    assert find_refusal(request_body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 3) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)
# Random JSON in every place, mixed with values that are right there.
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system"]) | JSON,
        "content": JSON | st.lists(st.fixed_dictionaries({"type": st.just("text")}) | JSON),
        "tool_calls": JSON | st.lists(st.just(CALL) | JSON, max_size=2),
        "tool_call_id": st.just("call_1") | JSON,
    },
)
BODY = st.fixed_dictionaries(
    {"model": st.just("demo") | JSON, "messages": st.lists(MESSAGE, max_size=3) | JSON},
    optional={
        "tools": st.lists(st.just(TOOL) | JSON, max_size=2) | JSON,
        "tool_choice": st.sampled_from(["auto", "required"]) | JSON,
        "response_format": st.just({"type": "json_object"}) | JSON,
        "stream": JSON,
        "stream_options": JSON,
        "max_tokens": JSON,
        "stop": JSON,
        "seed": JSON,
    },
)


@given(BODY)
@UNHURRIED
def test_any_body_is_either_refused_or_answered(request_body):
    """A malformed request is never the server's own error."""
    refusal = find_refusal(request_body)
    if refusal is not None:
        assert refusal.message
        return
    reply = answer(request_body, Behaviour())
    assert reply.finish_reason in ("stop", "length", "tool_calls")


SCHEMA_LIKE = st.recursive(
    JSON,
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["type", "properties", "required", "items", "enum", "anyOf", "$ref", "minItems", "city"]
        ),
        inner | st.sampled_from(["object", "string", "array", "integer", "#", ["string", "null"]]),
        max_size=3,
    ),
    max_leaves=6,
)


@given(SCHEMA_LIKE)
@UNHURRIED
def test_whatever_stands_where_a_schema_belongs_is_refused_or_filled(schema):
    """As a tool's parameters, as the reply's format, and in a prompt."""
    function = {"name": "weather", "parameters": {"type": "object", "properties": {"city": schema}}}
    described = {"name": "x", "schema": schema}
    prompt = {
        "role": "user",
        "content": f"As JSON, 3 of: {json.dumps({'type': 'object', 'a': schema})}",
    }
    for request_body in (
        body(tools=[{"type": "function", "function": function}], tool_choice="required"),
        body(response_format={"type": "json_schema", "json_schema": described}),
        body(messages=[prompt], response_format={"type": "json_object"}),
    ):
        if find_refusal(request_body) is None:
            with contextlib.suppress(InvalidRequestError):
                answer(request_body, Behaviour())


def test_a_schema_nested_too_deeply_is_refused():
    deep = {"type": "object"}
    for _ in range(300):
        deep = {"allOf": [deep]}
    described = {"type": "json_schema", "json_schema": {"name": "deep", "schema": deep}}
    request_body = body(response_format=described)
    if find_refusal(request_body) is None:
        with pytest.raises(InvalidRequestError):
            answer(request_body, Behaviour())


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        ([], None),
        ({"input": "x"}, "model"),
        ({"model": "e"}, "input"),
        ({"model": "e", "input": ""}, "input"),
        ({"model": "e", "input": []}, "input"),
        ({"model": "e", "input": ["x", 1]}, "input"),
        ({"model": "e", "input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"model": "e", "input": "x", "dimensions": 0}, "dimensions"),
    ],
)
def test_wrong_embedding_requests_are_refused(request_body, param):
    refusal = find_embedding_refusal(request_body, 4096)
    assert refusal is not None
    assert refusal.param == param


@pytest.mark.parametrize("given_input", ["x", ["x", "y"], [1, 2], [[1], [2, 3]]])
def test_embeddings_take_texts_and_tokens(given_input):
    assert find_embedding_refusal({"model": "e", "input": given_input}, 4096) is None
    assert orjson.dumps(given_input)
