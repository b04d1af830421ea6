"""Turns whose calls are not as they should be, recorded in `recorded/`; see `test_recorded.py`.

Arguments are broken or of the wrong kind, and providers cut calls into pieces in their own ways.
Recorded are the events about calls, the results last, since they come when the tools are done; and
what the model is told afterwards.
"""

import pytest
from recording_world import World

from xwe.mock import Behaviour

SHAPES = ["no_index", "zero_index", "no_id", "bare", "repeated", "late_name"]
TWO = [
    {"name": "calculate", "arguments": {"expression": "6 * 7"}, "id": "c1"},
    {"name": "calculate", "arguments": {"expression": "1 + 1"}, "id": "c2"},
]
WRONG = {
    "broken": ("calculate", '{"expression": "6 *'),
    "nothing": ("calculate", ""),
    "null": ("calculate", "null"),
    "a list": ("calculate", '["6 * 7"]'),
    "a text of JSON": ("calculate", '"{\\"expression\\": \\"6 * 7\\"}"'),
    "in a fence": ("calculate", '```json\n{"expression": "6 * 7"}\n```'),
    "a field too many": ("calculate", '{"expression": "6 * 7", "please": true}'),
    "a field too few": ("calculate", "{}"),
    "of the wrong type": ("calculate", '{"expression": 42}'),
    "twice": ("calculate", '{"expression": "6 * 7"}{"expression": "1 + 1"}'),
    "not a number": ("calculate", '{"expression": NaN}'),
    "half a surrogate pair": ("calculate", '{"expression": "\\ud83d"}'),
    "none such": ("nothing", "{}"),
}


@pytest.fixture(scope="module")
def server(serve):
    return serve(XWE_MAX_LLM_RETRIES="1")


@pytest.fixture
def world(request, server, mock_server, tmp_path):
    mock_server.reset()
    name = request.node.name.removeprefix("test_").replace("[", "_").removesuffix("]")
    yield World(name, server, mock_server, None, tmp_path)
    mock_server.reset()


def turn(world, called, **how):
    """The events of a turn with these calls that are about calls, and what the model is told."""
    world.model.script_by_kind(
        offers_tools=Behaviour(text="Let me see.", tool_calls=called, **how),
        has_tool_results=Behaviour(text="Done."),
    )
    with world.opened("", "/api/agent/stream", {"message": "hi", "mode": "sync"}) as reader:
        frames = reader.response.read().decode().split("\n\n")
    calls = [frame.partition("data: ")[2] for frame in frames if '"type":"tool-' in frame]
    lines = sorted(calls, key=lambda event: "tool-output" in event)
    for message in world.model.requests[-1].body["messages"]:
        for call in message.get("tool_calls", ()):
            lines.append(f"call {call['function']['name']} {call['function']['arguments']}")
        if message["role"] == "tool":
            lines.append(f"result {message['content']}")
    return "\n".join(lines)


def test_agent_arguments_wrong(world):
    for title, (name, arguments) in WRONG.items():
        call = {"name": name, "arguments": arguments, "id": "c1"}
        world.transcript.say(title, turn(world, [call], tool_arguments="burst"))
    world.transcript.check()


@pytest.mark.parametrize("shape", SHAPES)
def test_agent_calls(world, shape):
    world.transcript.say(shape, turn(world, TWO, tool_call_shape=shape))
    world.transcript.check()


def test_agent_calls_interleaved(world):
    world.transcript.say("interleaved", turn(world, TWO, tool_call_order="interleaved"))
    world.transcript.check()


def test_agent_calls_of_one_id(world):
    world.transcript.say("one id", turn(world, [{**call, "id": "same"} for call in TWO]))
    world.transcript.check()


@pytest.mark.parametrize("arguments", ["burst", "burst_at_end", "object"])
def test_agent_arguments(world, arguments):
    world.transcript.say(arguments, turn(world, TWO, tool_arguments=arguments))
    world.transcript.check()


def test_agent_arguments_cut_off(world):
    world.transcript.say("cut off", turn(world, TWO[:1], cut_after=8))
    world.transcript.check()
