"""The server's encoding of replies and chunks."""

import orjson
import pytest

from xwe.mock import Behaviour
from xwe.mock.delivery import grouped, stream_delivery
from xwe.mock.deltas import reply_deltas
from xwe.mock.protocol import (
    ChunkEncoder,
    CompletionIdentity,
    ModelReply,
    ReplyToolCall,
    encode_completion,
)
from xwe.mock.tokens import split_tokens

ENVELOPE = CompletionIdentity("id-1", 1_700_000_000, "demo", with_usage=True)
CALLS = (
    ReplyToolCall("c1", "weather", '{"city": "北京"}'),
    ReplyToolCall("c2", "time", "{}"),
)
REPLY = ModelReply(text='你好, "x"\n', finish_reason="stop", prompt_tokens=3, reasoning="hm")
CALLING = ModelReply(text="wait", finish_reason="tool_calls", prompt_tokens=3, tool_calls=CALLS)


def decoded(deltas):
    return [orjson.loads(delta) for delta in deltas.encoded]


def test_the_deltas_of_a_text_joined_are_the_text():
    deltas = decoded(reply_deltas(REPLY, "trickle", "openai"))
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hm"
    assert "".join(delta.get("content", "") for delta in deltas) == REPLY.text
    assert list(deltas[0]) == ["reasoning_content"]


def test_arguments_trickle_in_small_pieces_or_burst_when_their_last_token_is_due():
    trickling = reply_deltas(CALLING, "trickle", "openai")
    bursting = reply_deltas(CALLING, "burst", "openai")
    assert len(trickling.encoded) > len(bursting.encoded) == 3
    for deltas in (trickling, bursting):
        assert list(deltas.due) == sorted(deltas.due)
        arguments = ["", ""]
        for delta in decoded(deltas)[1:]:
            (call,) = delta["tool_calls"]
            arguments[call["index"]] += call["function"]["arguments"]
        assert arguments == [call.arguments for call in CALLS]
    first, second = (len(split_tokens(call.arguments)) for call in CALLS)
    opening = [0, 0, *range(1, first + 1)]
    assert list(trickling.due) == [*opening, first, *range(first + 1, first + second + 1)]
    assert list(bursting.due) == [0, first, first + second]


@pytest.mark.parametrize(
    ("shape", "first", "second"),
    [
        ("openai", {"index": 0, "id": "c1"}, {"index": 1, "id": "c2"}),
        ("no_index", {"id": "c1"}, {"id": "c2"}),
        ("zero_index", {"index": 0, "id": "c1"}, {"index": 0, "id": "c2"}),
        ("no_id", {"index": 0}, {"index": 1}),
    ],
)
def test_calls_come_in_the_shapes_that_providers_give_them(shape, first, second):
    deltas = decoded(reply_deltas(CALLING, "burst", shape))
    calls = [delta["tool_calls"][0] for delta in deltas[1:]]
    identities = [{k: v for k, v in call.items() if k in ("index", "id")} for call in calls]
    assert identities == [first, second]


def test_a_chunk_put_together_is_the_json_of_the_whole():
    encoder = ChunkEncoder(ENVELOPE)
    chunk = orjson.loads(encoder.delta(b'{"content":"x"}'))
    assert chunk == {
        "id": "id-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "demo",
        "system_fingerprint": "fp_xwe_demo",
        "choices": [
            {"index": 0, "delta": {"content": "x"}, "logprobs": None, "finish_reason": None}
        ],
        "usage": None,
    }
    last = orjson.loads(encoder.finish("length"))["choices"][0]
    assert (last["delta"], last["finish_reason"]) == ({}, "length")
    usage = orjson.loads(encoder.usage(REPLY.usage()))
    assert (usage["choices"], usage["usage"]) == ([], REPLY.usage())
    assert "usage" not in orjson.loads(ChunkEncoder(CompletionIdentity("i", 1, "m")).opening())


def test_a_plain_reply_has_its_calls_and_its_usage():
    body = orjson.loads(encode_completion(ENVELOPE, CALLING))
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": CALLS[0].arguments},
    }
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(("line_end", "mark"), [("lf", b"\n"), ("crlf", b"\r\n"), ("cr", b"\r")])
def test_events_end_as_asked_and_comments_stand_between_them(line_end, mark):
    behaviour = Behaviour(line_end=line_end, comment_every=2)
    delivery = stream_delivery(ENVELOPE, REPLY, behaviour)
    whole = delivery.after(0)
    assert whole.endswith(b"data: [DONE]" + mark * 2)
    assert whole.count(b": keep-alive" + mark * 2) == (len(delivery.pieces) + 1) // 2
    assert whole.replace(mark, b"").count(b"\n") == 0


def test_pieces_in_a_group_go_when_the_last_of_them_is_due():
    pieces = [b"a", b"b", b"c", b"d", b"e"]
    assert grouped(pieces, range(5), 2) == ([b"ab", b"cd", b"e"], [1, 3, 4])
    assert grouped(pieces, range(5), 1)[0] is pieces
