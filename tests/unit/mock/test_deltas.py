"""Tool calls in a stream: their pieces, the order, and when each is due."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xwe.mock.deltas import reply_deltas
from xwe.mock.protocol import CompletionIdentity, ModelReply, ReplyToolCall, encode_completion
from xwe.mock.tokens import split_tokens

WEATHER = ReplyToolCall("c1", "weather", '{"city": "北京"}')
TIME = ReplyToolCall("c2", "time", '{"zone": 8}')
NOTHING = ReplyToolCall("c3", "ping", "")
# The machine may be busy with other tests.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def reply(*calls, text=None, text_after=None, **fields):
    return ModelReply(
        text=text,
        text_after=text_after,
        tool_calls=calls,
        finish_reason="tool_calls",
        prompt_tokens=1,
        **fields,
    )


def pieces(deltas):
    """When each piece of a call is due, and the piece."""
    decoded = map(orjson.loads, deltas.encoded)
    return [
        (due, delta["tool_calls"][0])
        for due, delta in zip(deltas.due, decoded, strict=True)
        if "tool_calls" in delta
    ]


def tokens(*texts):
    return sum(len(split_tokens(text)) for text in texts)


def test_text_comes_before_the_calls_and_after_them_each_token_at_its_time():
    deltas = reply_deltas(reply(WEATHER, text="a b c", text_after="d e"), "trickle", "openai")
    said = [orjson.loads(delta).get("content") for delta in deltas.encoded]
    assert [word for word in said if word] == ["a", " b", " c", "d", " e"]
    arguments = tokens(WEATHER.arguments)
    assert list(deltas.due) == [0, 1, 2, 2, *range(3, 3 + arguments + 2)]
    assert said[-2:] == ["d", " e"]


def test_interleaved_calls_alternate_and_take_as_long_as_in_turn():
    whole = reply(WEATHER, TIME, NOTHING)
    deltas = reply_deltas(whole, "trickle", "openai", "interleaved")
    order = [piece["index"] for _, piece in pieces(deltas)]
    assert order[:7] == [0, 1, 2, 0, 1, 0, 1]
    arguments = ["", "", ""]
    for _, piece in pieces(deltas):
        arguments[piece["index"]] += piece["function"]["arguments"]
    assert arguments == [call.arguments for call in whole.tool_calls]
    assert list(deltas.due) == sorted(deltas.due)
    assert deltas.due[-1] == reply_deltas(whole, "trickle", "openai").due[-1]


def test_a_call_with_empty_arguments_is_one_piece_and_takes_no_time():
    for arguments in ("trickle", "burst", "object"):
        ((due, piece),) = pieces(reply_deltas(reply(NOTHING), arguments, "openai"))
        assert (due, piece["function"]) == (0, {"name": "ping", "arguments": ""})


def test_a_burst_at_the_end_brings_all_calls_when_the_last_token_is_due():
    deltas = reply_deltas(reply(WEATHER, TIME, text="a b", text_after="c"), "burst_at_end", "bare")
    last = 2 + tokens(WEATHER.arguments, TIME.arguments) - 1
    assert list(deltas.due) == [0, 1, last, last, last + 1]
    assert [p["function"]["arguments"] for _, p in pieces(deltas)] == [
        WEATHER.arguments,
        TIME.arguments,
    ]


def test_arguments_may_be_an_object_and_broken_ones_stay_a_text():
    broken = ReplyToolCall("c4", "weather", '{"city": ')
    deltas = reply_deltas(reply(WEATHER, broken), "object", "openai")
    given_as = [piece["function"]["arguments"] for _, piece in pieces(deltas)]
    assert given_as == [{"city": "北京"}, '{"city": ']
    body = encode_completion(
        CompletionIdentity("i", 1, "m"), reply(WEATHER, has_argument_objects=True)
    )
    (call,) = orjson.loads(body)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == {"city": "北京"}


@pytest.mark.parametrize(
    ("shape", "keys"),
    [("bare", set()), ("no_id", {"index"}), ("repeated", {"index", "id"})],
)
def test_every_piece_has_what_its_shape_leaves_in(shape, keys):
    for _, piece in pieces(reply_deltas(reply(WEATHER, TIME), "trickle", shape)):
        assert piece.keys() & {"index", "id"} == keys


def test_a_name_may_be_said_in_every_piece_or_late():
    repeated = pieces(reply_deltas(reply(WEATHER), "trickle", "repeated"))
    assert {piece["function"]["name"] for _, piece in repeated} == {"weather"}
    for arguments in ("trickle", "burst"):
        first, second, *_ = pieces(reply_deltas(reply(WEATHER), arguments, "late_name"))
        assert (first[1]["id"], first[1]["function"]) == ("c1", {"arguments": ""})
        assert (second[1]["index"], second[1]["function"]["name"]) == (0, "weather")
        assert "id" not in second[1]


def test_a_plain_reply_and_its_usage_have_the_text_after_too():
    whole = reply(TIME, text="a b", text_after=" c")
    body = orjson.loads(encode_completion(CompletionIdentity("i", 1, "m"), whole))
    assert body["choices"][0]["message"]["content"] == "a b c"
    assert body["usage"]["completion_tokens"] == 3 + tokens(TIME.arguments)


CALLS = st.lists(
    st.builds(
        ReplyToolCall,
        id=st.uuids().map(str),
        name=st.sampled_from(["a", "b"]),
        arguments=st.sampled_from(["", "{}", '{"a": "b c"}', '{"a": [1, {"b": "}"}]}']),
    ),
    max_size=4,
)


@given(
    calls=CALLS,
    text=st.sampled_from([None, "x y z"]),
    after=st.sampled_from([None, "u v"]),
    arguments=st.sampled_from(["trickle", "burst", "burst_at_end"]),
    order=st.sampled_from(["in_turn", "interleaved"]),
)
@UNHURRIED
def test_however_calls_are_streamed_the_last_token_is_due_at_the_same_time(
    calls, text, after, arguments, order
):
    deltas = reply_deltas(reply(*calls, text=text, text_after=after), arguments, "openai", order)
    assert list(deltas.due) == sorted(deltas.due)
    whole = tokens(text or "", after or "", *(call.arguments for call in calls))
    if deltas.encoded:
        assert deltas.due[-1] == max(0, whole - 1)
