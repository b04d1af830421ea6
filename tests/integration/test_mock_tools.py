"""Turns with tools against a scripted model server, over real HTTP."""

import asyncio
import json
import time

import openai
import pytest
from openai import AsyncOpenAI

from xwe.mock import Behaviour, MockServer, Rule, sized_arguments, sized_text
from xwe.mock.rules import rounds_of

USER = {"role": "user", "content": "hi"}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALLS = [
    {"name": "weather", "arguments": sized_arguments(12), "id": "c1"},
    {"name": "food", "arguments": sized_arguments(14), "id": "c2"},
]


def answered(*call_ids):
    calls = [
        {"id": one, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        for one in call_ids
    ]
    results = [{"role": "tool", "tool_call_id": one, "content": "rain"} for one in call_ids]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]


@pytest.fixture(scope="module")
def module_server():
    with MockServer() as server:
        yield server


@pytest.fixture
def server(module_server):
    module_server.reset()
    return module_server


@pytest.fixture
async def client(server):
    async with AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        yield client


async def stream(client, *messages, **fields):
    """The deltas of a streamed reply, and its finish reason."""
    chunks = await client.chat.completions.create(
        model="m", messages=[USER, *messages], stream=True, **fields
    )
    choices = [chunk.choices[0] async for chunk in chunks]
    return [choice.delta for choice in choices], choices[-1].finish_reason


async def said(client, *messages, **fields):
    deltas, _ = await stream(client, *messages, **fields)
    return "".join(delta.content or "" for delta in deltas)


async def test_each_kind_of_request_of_a_turn_is_answered_in_its_own_way(client, server):
    server.script_by_kind(
        offers_tools=Behaviour(text="let me see", tool_calls=CALLS, text_after=" soon"),
        has_tool_results=Behaviour(text="it rains"),
        plain=Behaviour(text="meanwhile"),
    )
    first, bridge, final = await asyncio.gather(
        stream(client, tools=TOOLS), said(client), said(client, *answered("c1"), tools=TOOLS)
    )
    deltas, reason = first
    assert reason == "tool_calls"
    assert "".join(delta.content or "" for delta in deltas) == "let me see soon"
    assert (bridge, final) == ("meanwhile", "it rains")


async def test_rules_may_count_the_rounds_of_a_turn(client, server):
    server.follow(
        Rule(lambda body: rounds_of(body) == 1, Behaviour(tool_calls=CALLS[1:])),
        Rule("has_tool_results", Behaviour(text="both are there")),
        Rule("offers_tools", Behaviour(tool_calls=CALLS[:1])),
    )
    for messages, expected in (((), "weather"), (answered("c1"), "food")):
        deltas, _ = await stream(client, *messages, tools=TOOLS)
        assert [c.function.name for d in deltas for c in d.tool_calls or () if c.id] == [expected]
    both = [*answered("c1"), *answered("c2")]
    assert await said(client, *both, tools=TOOLS) == "both are there"


async def test_a_script_goes_before_the_rules_and_a_reset_forgets_them(client, server):
    server.script_by_kind(plain=Behaviour(text="by rule"))
    server.script(Behaviour(text="by script"))
    assert [await said(client), await said(client)] == ["by script", "by rule"]
    assert await said(client, extra_body={"mock": {"text": "by request"}}) == "by request"
    await asyncio.to_thread(server.reset)
    assert "demo" in await said(client)


async def test_interleaved_calls_are_put_together_by_the_official_client(client, server):
    server.script(Behaviour(tool_calls=CALLS, tool_call_order="interleaved", text_after="tail"))
    async with client.chat.completions.stream(model="m", messages=[USER]) as events:
        message = (await events.get_final_completion()).choices[0].message
    assert [call.function.arguments for call in message.tool_calls] == [
        call["arguments"] for call in CALLS
    ]
    assert message.content == "tail"


@pytest.mark.parametrize(
    ("cut_after", "expected"),
    [
        (2, (0, 0, "")),
        (3 + 12, (1, 1, "")),
        (3 + 12 + 5, (2, 1, "")),
        (3 + 12 + 14, (2, 2, "")),
        (3 + 12 + 14 + 1, (2, 2, " four")),
    ],
)
async def test_a_reply_can_be_cut_anywhere(client, server, cut_after, expected):
    begun, whole, after = expected  # calls begun, calls complete, and the text after them
    tail = " four five"
    server.script(
        Behaviour(text="one two three", tool_calls=CALLS, text_after=tail, cut_after=cut_after)
    )
    deltas, reason = await stream(client, tools=TOOLS)
    assert reason == "length"
    text = "".join(delta.content or "" for delta in deltas)
    assert text == ("one two three" if begun else "one two") + after
    arguments = {}
    for call in (call for delta in deltas for call in delta.tool_calls or ()):
        arguments[call.index] = arguments.get(call.index, "") + call.function.arguments
    assert sum(_is_json(text) for text in arguments.values()) == whole
    assert len(arguments) == begun


def _is_json(text):
    try:
        return bool(json.loads(text))
    except ValueError:
        return False


async def test_a_request_asks_for_the_shapes_itself(client):
    mock = {"tool_calls": CALLS[:1], "tool_call_shape": "bare", "tool_arguments": "object"}
    chunks = await client.with_raw_response.chat.completions.create(
        model="m", messages=[USER], stream=True, extra_body={"mock": mock}
    )
    events = [line async for line in chunks.http_response.aiter_lines() if "tool_calls" in line]
    delta = json.loads(events[0].removeprefix("data: "))["choices"][0]["delta"]
    (call,) = delta["tool_calls"]
    assert call.keys() == {"type", "function"}
    assert call["function"]["arguments"] == json.loads(CALLS[0]["arguments"])


async def test_a_paced_end_is_due_after_its_last_token(client, server):
    server.script(Behaviour(text=sized_text(3), tokens_per_s=20, tokens_to_end=4))
    asked = time.monotonic()
    assert await said(client) == sized_text(3)
    # The server's clock starts after ours: a busy machine can only add to it.
    assert time.monotonic() - asked > (2 + 4) / 20 - 0.001


async def test_a_client_that_leaves_before_the_paced_end_is_noticed(client, server):
    server.script(Behaviour(text="one", tokens_per_s=10, tokens_to_end=10_000))
    chunks = await client.chat.completions.create(model="m", messages=[USER], stream=True)
    async for chunk in chunks:
        if chunk.choices[0].delta.content:
            break
    await chunks.close()
    await asyncio.to_thread(server.wait_until, lambda: server.requests[0].disconnected)


async def test_a_wrong_wish_is_refused_by_name(client):
    with pytest.raises(openai.BadRequestError, match="tool_call_order must be one of"):
        await said(client, extra_body={"mock": {"tool_call_order": "shuffled"}})
