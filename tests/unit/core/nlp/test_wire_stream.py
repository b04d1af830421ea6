"""A stream's events, with what real providers leave out, add and get wrong."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp.completion import Completion, Delta, ToolCallDelta, Usage
from xwe.core.nlp.wire import error_from_status, parse_delta, parse_reply
from xwe.errors import ProviderBadReplyError, ProviderError, ProviderStatusError

ABSENT = object()


def event(delta=ABSENT, finish_reason=None, **fields):
    choice = {"index": 0, "finish_reason": finish_reason}
    if delta is not ABSENT:
        choice["delta"] = delta
    return orjson.dumps({"id": "1", "choices": [choice], **fields})


def test_a_piece_of_text_is_a_delta_like_any_other():
    delta = parse_delta(event({"content": "hi"}))
    assert delta == Delta("hi")
    assert hash(delta) == hash(Delta("hi"))
    assert repr(delta) == repr(Delta("hi"))


@pytest.mark.parametrize(
    "data",
    [
        b"[DONE]",
        event({"role": "assistant"}),
        event({"role": "assistant", "content": ""}),
        event({"role": "assistant", "content": None, "refusal": None}),
        event({}),
        event(None),
        event(),
        event({"content": ""}, finish_reason=""),
        event({"content": None, "tool_calls": None}),
        b'{"choices": []}',
        b'{"choices": null, "usage": null}',
        b'{"choices": [], "usage": {}}',
        b"{}",
        b'{"choices": [], "error": null, "prompt_filter_results": []}',
    ],
)
def test_events_that_bring_nothing_are_none(data):
    assert parse_delta(data) is None


@pytest.mark.parametrize(
    ("data", "delta"),
    [
        (event({"role": "assistant", "content": "hi"}), Delta("hi")),
        (event({"content": "hi"}, usage=None, error=None), Delta("hi")),
        (event({"content": "hi", "role": "assistant", "tool_calls": None}), Delta("hi")),
        (event({}, finish_reason="stop"), Delta(finish_reason="stop")),
        (event({"content": "."}, finish_reason="length"), Delta(".", finish_reason="length")),
        (
            event({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
            Delta("a", usage=Usage(1, 1, 2)),
        ),
        (
            b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}',
            Delta(usage=Usage(1, 2, 3)),
        ),
        (
            event({"content": None, "reasoning_content": "hm"}),
            Delta(extra={"reasoning_content": "hm"}),
        ),
        (
            event({"content": [{"type": "text", "text": "a"}, "b"]}),
            Delta("ab"),
        ),
        (
            event({"content": [{"type": "thinking", "thinking": "hm"}]}),
            Delta(extra={"content": [{"type": "thinking", "thinking": "hm"}]}),
        ),
    ],
)
def test_each_kind_of_delta_is_read(data, delta):
    assert parse_delta(data) == delta


@pytest.mark.parametrize(
    ("call", "piece"),
    [
        (
            {"index": 1, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}},
            ToolCallDelta(1, "c", "f", ""),
        ),
        ({"index": 0, "function": {"arguments": '{"a'}}, ToolCallDelta(0, arguments='{"a')),
        ({"function": {"name": "f", "arguments": "{}"}}, ToolCallDelta(None, None, "f", "{}")),
        ({"index": None, "id": "", "function": {"name": ""}}, ToolCallDelta()),
        ({"id": "c", "function": None}, ToolCallDelta(id="c")),
        (
            {"function": {"name": "f", "arguments": {"a": 1}}},
            ToolCallDelta(None, None, "f", '{"a": 1}'),
        ),
    ],
)
def test_pieces_of_tool_calls_keep_what_the_provider_left_out_as_none(call, piece):
    assert parse_delta(event({"tool_calls": [call]})) == Delta(tool_calls=(piece,))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b'{"choices": [7]}',
        b'{"choices": {"0": {}}}',
        event("hi"),
        event({"content": 7}),
        event({"tool_calls": "f"}),
        event({"tool_calls": [None]}),
        b'{"choices": [{"delta": {"content": "half',
    ],
)
def test_what_is_not_the_protocol_is_a_bad_reply(data):
    with pytest.raises(ProviderBadReplyError):
        parse_delta(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"error": {"message": "overloaded", "code": 529}}',
        b'{"error": {"message": "overloaded", "code": 529}, "choices": []}',
        event({"content": ""}, finish_reason="error", error={"code": 529}),
        event({"content": "text"}, error={"code": 529}),
    ],
)
def test_an_error_object_in_a_stream_is_that_error(data):
    with pytest.raises(ProviderStatusError) as caught:
        parse_delta(data)
    assert caught.value.status == 529


_FIELDS = (
    *("choices", "delta", "message", "content", "tool_calls", "function", "arguments"),
    *("name", "usage", "finish_reason", "text", "error", "index", "id"),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(_FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=json_values)
def test_whatever_json_comes_the_answer_is_a_value_or_one_of_our_errors(value):
    data = orjson.dumps(value)
    for parse, kind in ((parse_reply, Completion), (parse_delta, Delta | None)):
        with contextlib.suppress(ProviderError):
            assert isinstance(parse(data), kind)


@given(data=st.binary(max_size=40))
def test_whatever_bytes_come_the_answer_is_a_value_or_one_of_our_errors(data):
    for parse in (parse_reply, parse_delta, lambda raw: error_from_status(500, {}, raw)):
        with contextlib.suppress(ProviderError):
            parse(data)
