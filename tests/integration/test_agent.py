"""Turns with tools over a real wire, with every transport and every way of sending calls."""

import asyncio
import threading

import pytest

from xwe import LLMClient, run_async_in_sync
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.agent import Agent
from xwe.core.nlp.tools.conversation import check_conversation
from xwe.core.nlp.tools.tool import tool
from xwe.mock import Behaviour

CALLS = [
    {"name": "weather", "arguments": {"city": "北京"}},
    {"name": "food", "arguments": {"city": "北京", "spicy": True}},
    {"name": "ping", "arguments": ""},
]


@tool(effect="read_only")
async def weather(city: str) -> str:
    """The weather."""
    return f"{city} 晴"


@tool(effect="idempotent")
def food(city: str, spicy: bool = False) -> list[str]:
    """What to eat."""
    return [city, "火锅" if spicy else "烤鸭"]


@tool(effect="side_effect")
def ping() -> None:
    """Takes nothing."""


@pytest.fixture
def client(mock_server, transport_name):
    with LLMClient(
        "key", mock_server.base_url + "/chat/completions", "m", transport=transport_name
    ) as client:
        yield client


@pytest.fixture
def agent(client):
    agent = Agent(client, [weather, food, ping])
    yield agent
    agent.close()


@pytest.fixture
def model(mock_server):
    """Plays all steps of a turn; the keyword arguments say how it sends its calls."""

    def play(*, calls=CALLS, **behaviour):
        mock_server.script_by_kind(
            offers_tools=Behaviour(text="我看看。", tool_calls=calls, **behaviour),
            plain=Behaviour(text="先说点别的。"),
            has_tool_results=Behaviour(text="好了。"),
        )
        return mock_server

    return play


def said_in(turn):
    return "".join(event.text for event in turn if isinstance(event, events.TextGrew))


SHAPES = ["openai", "no_index", "zero_index", "no_id", "bare", "repeated", "late_name"]


@pytest.mark.parametrize("arguments", ["trickle", "burst", "burst_at_end", "object"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transport_name", ["aiohttp"])
def test_calls_are_understood_however_they_are_sent(model, agent, shape, arguments):
    server = model(tool_call_shape=shape, tool_arguments=arguments)
    turn = list(agent.run("?", mode="sync"))
    outputs = [e.output for e in turn if isinstance(e, events.CallFinished)]
    assert sorted(outputs) == sorted(["北京 晴", '["北京","火锅"]', "null"])
    assert said_in(turn) == "我看看。好了。"
    for request in server.requests:
        check_conversation(request.body["messages"])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transport_name", ["aiohttp"])
def test_a_call_has_one_id_everywhere_whatever_the_provider_sends(model, client, shape):
    model(tool_call_shape=shape)
    with client.stream("?", tools=[weather.on_wire()]) as stream:
        pieces = [piece for delta in stream for piece in delta.tool_calls]
    calls = stream.completion.tool_calls
    assert [piece.id for piece in pieces if piece.id] == [call.id for call in calls]
    assert [piece.name for piece in pieces if piece.name] == ["weather", "food", "ping"]
    ended = {piece.index: piece.call for piece in pieces if piece.call}
    assert [ended.get(index, call) for index, call in enumerate(calls)] == list(calls)
    assert [call.value for call in calls] == [call["arguments"] or {} for call in CALLS]


@pytest.mark.parametrize("transport_name", ["aiohttp"])
def test_the_ids_that_a_reader_is_told_are_those_that_are_sent_back(model, agent):
    server = model(tool_call_shape="no_id")
    told = [e.call_id for e in agent.run("?", mode="sync") if isinstance(e, events.CallReady)]
    messages = server.requests[-1].body["messages"]
    sent = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
    assert sorted(told) == sorted(sent)
    assert sent == [m["tool_call_id"] for m in messages if m["role"] == "tool"]


@pytest.mark.parametrize("mode", ["sync", "non_preemptive", "preemptive"])
def test_each_transport_runs_each_mode(model, agent, mode):
    model()
    turn = list(agent.run("?", mode=mode))
    assert said_in(turn).endswith("好了。")
    assert isinstance(turn[-1], events.TurnEnded)
    assert len([e for e in turn if isinstance(e, events.CallFinished)]) == 3


def test_a_turn_is_the_same_from_a_coroutine_on_a_loop_of_its_own(model, agent):
    model()

    async def turn():
        return [event async for event in agent.run_async("?", mode="sync")]

    # Either of the two tools may finish first.
    shown = sorted(type(event).__name__ for event in asyncio.run(turn()))
    assert shown == sorted(type(event).__name__ for event in agent.run("?", mode="sync"))


def test_without_async_everything_runs_in_the_calling_thread(model, agent, monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    where = []

    @tool(effect="read_only")
    def here() -> str:
        """Where it runs."""
        where.append(threading.current_thread())
        return "here"

    agent.tools.add(here)
    model(calls=[{"name": "here", "arguments": {}}])
    turn = list(agent.run("?", mode="preemptive"))
    assert said_in(turn) == "我看看。好了。"
    assert where == [threading.current_thread()]


@pytest.mark.parametrize("transport_name", ["aiohttp"])
def test_a_call_that_is_cut_by_the_length_is_not_run(model, agent):
    model(cut_after=12)
    turn = list(agent.run("?"))
    assert turn[-1].finish_reason == "length"
    assert any(isinstance(event, events.CallFailed) for event in turn)
    assert not any(isinstance(event, events.CallFinished) for event in turn)


@pytest.mark.parametrize("transport_name", ["aiohttp", "openai"])
def test_preempted_turns_leave_no_request_behind(model, client, mock_server):
    model()
    mock_server.script_by_kind(
        offers_tools=Behaviour(tool_calls=CALLS[:1]),
        plain=Behaviour(text="一二三四五六七八九十" * 40, tokens_per_s=4),  # 100 s
        has_tool_results=Behaviour(text="好了。"),
    )

    def bridges():
        return [request for request in mock_server.requests if not request.body.get("tools")]

    @tool(effect="read_only", name="weather")
    async def slow(city: str) -> str:
        """Returns once the first bridge has been requested."""
        await asyncio.to_thread(mock_server.wait_until, bridges)
        return city

    patient = Agent(client, [slow])

    async def turns():
        async def one():
            return [event async for event in patient.run_async("?")]

        return await asyncio.gather(*(one() for _ in range(50)))

    for turn in run_async_in_sync(turns()):
        assert said_in(turn).endswith("好了。")
    mock_server.wait_until(lambda: all(r.finished or r.disconnected for r in mock_server.requests))
    assert any(request.disconnected for request in bridges())  # a busy machine cuts few of them
    patient.close()
