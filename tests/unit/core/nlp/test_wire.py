"""The protocol, with what real providers leave out, add and get wrong."""

import json
from types import MappingProxyType

import orjson
import pytest

from xwe.core.nlp.completion import (
    Completion,
    CompletionRequest,
    Delta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from xwe.core.nlp.wire import (
    build_payload,
    delta_from_reply,
    parse_reply,
)
from xwe.errors import (
    InvalidRequestError,
    ProviderBadReplyError,
    ProviderRateLimitedError,
    ProviderStatusError,
)

USER = {"role": "user", "content": "你好"}
ABSENT = object()


def request(**fields):
    return CompletionRequest(**{"messages": [USER], "model": "m", **fields})


def payload(stream=False, **fields):
    return json.loads(build_payload(request(**fields), stream=stream))


def reply(content="hi", **fields):
    message = {"role": "assistant", "content": content, **fields.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **fields.pop("choice", {})}
    whole = {"id": "1", "model": "m-1", "choices": [choice], **fields}
    return orjson.dumps({name: value for name, value in whole.items() if value is not ABSENT})


# --- requests ---


def test_only_what_was_asked_for_is_sent():
    assert payload() == {"model": "m", "messages": [USER]}


def test_every_field_arrives_under_its_name():
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert payload(
        temperature=0.0,
        max_tokens=5,
        tools=tools,
        tool_choice="auto",
        response_format={"type": "json_object"},
        extra={"top_p": 0.5},
    ) == {
        "model": "m",
        "messages": [USER],
        "temperature": 0.0,
        "max_tokens": 5,
        "tools": tools,
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "top_p": 0.5,
    }


def test_a_stream_asks_for_its_usage():
    assert payload(stream=True)["stream"] is True
    assert payload(stream=True)["stream_options"] == {"include_usage": True}


def test_extra_fields_win_and_a_none_takes_a_field_out():
    sent = payload(stream=True, temperature=0.5, extra={"temperature": 1, "stream_options": None})
    assert sent["temperature"] == 1
    assert "stream_options" not in sent


@pytest.mark.parametrize("stream", [True, False])
def test_extra_fields_cannot_turn_a_call_into_the_other_kind(stream):
    sent = payload(stream=stream, extra={"stream": not stream})
    assert sent.get("stream", False) is stream


def test_frozen_values_can_be_sent():
    call = MappingProxyType({"type": "function"})
    assert payload(tools=(call,), extra=MappingProxyType({"a": call}))["a"] == {"type": "function"}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"messages": [{"role": "user", "content": "half \ud83d"}]}, "messages"),
        ({"messages": [{"role": "user", "content": object()}]}, "messages"),
        ({"messages": [{1: "x"}]}, "messages"),
        ({"extra": {"seed": 2**70}}, "seed"),
        ({"tools": [{"f": {1, 2}}]}, "tools"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name_and_without_its_content(fields, name):
    with pytest.raises(InvalidRequestError) as caught:
        payload(**fields)
    assert caught.value.field == name
    assert "half" not in caught.value.message


# --- whole replies ---


def test_a_plain_reply_is_read_in_full():
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert parse_reply(reply(usage=usage)) == Completion(
        text="hi",
        finish_reason="stop",
        usage=Usage(3, 2, 5),
        model="m-1",
        message={"role": "assistant", "content": "hi"},
    )


def test_fields_that_we_do_not_know_stay_in_the_message():
    completion = parse_reply(reply(message={"reasoning_content": "hm", "audio": {"id": 1}}))
    assert completion.message == {
        "role": "assistant",
        "content": "hi",
        "reasoning_content": "hm",
        "audio": {"id": 1},
    }


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": []}, {"type": "text", "text": "b"}], "b"),
        (["a", "b"], "ab"),
        ([], ""),
    ],
)
def test_content_may_be_missing_or_a_list_of_parts(content, text):
    assert parse_reply(reply(content)).text == text


def test_tool_calls_are_read_whole():
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"function": {"name": "g", "arguments": {"b": "ü"}}},
        {"id": "c3", "function": {"name": "h", "arguments": None}},
    ]
    assert parse_reply(reply(None, message={"tool_calls": calls})).tool_calls == (
        ToolCall("c1", "f", '{"a": 1}'),
        ToolCall("call_1", "g", '{"b": "ü"}'),
        ToolCall("c3", "h", ""),
    )


@pytest.mark.parametrize("usage", [None, {}, [], "x", 3, ABSENT])
def test_usage_that_says_nothing_is_none(usage):
    assert parse_reply(reply(usage=usage)).usage is None


def test_usage_is_summed_where_the_sum_is_missing_and_nonsense_counts_as_nothing():
    assert parse_reply(reply(usage={"prompt_tokens": 3, "completion_tokens": 2})).usage == Usage(
        3, 2, 5
    )
    assert parse_reply(
        reply(usage={"prompt_tokens": "3", "completion_tokens": -2, "total_tokens": True})
    ).usage == Usage(0, 0, 0)


def test_legacy_replies_without_the_small_print_are_understood():
    raw = b'{"choices": [{"message": {"content": "hi"}}]}'
    assert parse_reply(raw) == Completion(text="hi", message={"content": "hi"})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b"7",
        b'"hi"',
        b"{}",
        b'{"choices": null}',
        b'{"choices": []}',
        b'{"choices": {}}',
        b'{"choices": ["hi"]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": "hi"}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": {"text": "hi"}}}]}',
        b'{"choices": [{"message": {"content": "", "tool_calls": {}}}]}',
        b'{"choices": [{"message": {"content": "", "tool_calls": [7]}}]}',
        b'{"choices": [{"message": {"content": "", "tool_calls": [{"function": []}]}}]}',
        b'{"choices": [{"message": {"content": "", "tool_calls": [{"id": "x"}]}}]}',
        b'{"choices": [{"message": {"content": "a secret half',
        b"a secret in plain words",
        b"<html><title>Sign in</title>a secret</html>",
        b"\xff\xfe\x00",
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 2_000_000,
    ],
)
def test_what_is_not_the_protocol_is_a_bad_reply_that_tells_nothing_of_the_text(raw):
    with pytest.raises(ProviderBadReplyError) as caught:
        parse_reply(raw)
    assert "secret" not in caught.value.message
    assert len(caught.value.message) < 300


def test_a_web_page_is_called_by_its_title_and_hints_at_the_address():
    with pytest.raises(ProviderBadReplyError, match=r"\(Sign in\).*LLM_BASE_URL"):
        parse_reply(b"\n<!doctype html><html><title>Sign in</title></html>")


def test_an_error_object_under_status_200_is_that_error():
    with pytest.raises(ProviderRateLimitedError):
        parse_reply(b'{"error": {"code": 429, "message": "slow down"}}')
    with pytest.raises(ProviderStatusError, match="out of order"):
        parse_reply(b'{"error": "out of order", "choices": []}')


def test_an_error_object_does_not_show_what_is_to_be_hidden():
    with pytest.raises(ProviderStatusError) as caught:
        parse_reply(b'{"error": "cannot say: my long secret"}', hidden=["my long secret"])
    assert "secret" not in caught.value.message


def test_not_a_number_as_python_servers_send_it_is_no_reason_to_fail():
    raw = b'{"choices": [{"message": {"content": "hi"}, "logprobs": [NaN, -Infinity]}]}'
    assert parse_reply(raw).text == "hi"


def test_halves_of_an_emoji_are_joined_or_replaced_so_that_the_text_can_be_sent_again():
    pair = parse_reply(rb'{"choices": [{"message": {"content": "\ud83d\ude00"}}]}')
    assert pair.text == "😀"
    half = parse_reply(rb'{"choices": [{"message": {"content": "a \ud83d b"}}]}')
    assert half.text == half.message["content"] == "a \ufffd b"
    build_payload(request(messages=[half.message]), stream=False)


def test_bytes_that_are_no_utf8_are_replaced():
    assert parse_reply(b'{"choices": [{"message": {"content": "a\xffb"}}]}').text == "a\ufffdb"


def test_a_whole_reply_can_stand_for_a_stream():
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    raw = reply("hi", message={"tool_calls": calls, "reasoning_content": "hm"})
    assert delta_from_reply(parse_reply(raw)) == Delta(
        "hi",
        (ToolCallDelta(0, "c", "f", "{}"),),
        "stop",
        extra={"reasoning_content": "hm"},
    )
