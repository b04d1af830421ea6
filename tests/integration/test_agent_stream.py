"""Turns with tools over HTTP: streamed, rejoined and stopped."""

import json
import urllib.request

import pytest
from stream_client import kinds_of, post, reading, rejoining, text_of

from xwe.mock import Behaviour

CALLS = [
    {"name": "calculate", "arguments": {"expression": "6 * 7"}, "id": "c1"},
    {"name": "current_time", "arguments": {"timezone": "Nowhere/Land"}, "id": "c2"},
]


# A tool of the operator's that returns once a file exists.
HELD = """
import asyncio, os, pathlib
from xwe import tool

@tool(effect="read_only", timeout_s=100)
async def held(name: str) -> str:
    \"\"\"Waits.\"\"\"
    while not pathlib.Path(os.environ["HELD_UNTIL"], name).exists():
        await asyncio.sleep(0.02)
    return name
"""


@pytest.fixture(scope="module")
def held_until(tmp_path_factory):
    """The directory of the files that `held` waits for."""
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def server(serve, held_until):
    (held_until / "held_tool.py").write_text(HELD)
    return serve(XWE_TOOLS="held_tool:held", PYTHONPATH=str(held_until), HELD_UNTIL=str(held_until))


@pytest.fixture
def model(mock_server):
    def play(**final):
        mock_server.script_by_kind(
            offers_tools=Behaviour(text="Let me see.", tool_calls=CALLS),
            plain=Behaviour(text="Meanwhile."),
            has_tool_results=Behaviour(**{"text": "It is 42.", **final}),
        )
        return mock_server

    yield play
    mock_server.reset()


def turn(server, **said):
    with reading(server.url, "/api/agent/stream", message="6 * 7?", **said) as reader:
        events = list(reader)
        assert reader.is_done
    return events


def data_of(events, kind):
    return [event["data"] for _, event in events if event["type"] == kind]


def test_a_turn_tells_everything_in_the_conventions_order(server, model):
    model()
    events = turn(server, mode="sync")
    kinds = [kind for kind in kinds_of(events) if kind != "data-mark"]
    assert kinds[:3] == ["start", "start-step", "text-start"]
    assert kinds[-3:] == ["finish-step", "data-timing", "finish"]
    assert kinds.index("tool-input-start") < kinds.index("tool-input-available")
    by_kind = {event["type"]: event for _, event in events if event.get("toolCallId") == "c1"}
    assert by_kind["tool-input-available"]["input"] == {"expression": "6 * 7"}
    assert by_kind["tool-output-available"]["output"] == "6 * 7 = 42"
    failed = [event for _, event in events if event["type"] == "tool-output-error"]
    assert [event["toolCallId"] for event in failed] == ["c2"]
    assert "Nowhere/Land" in failed[0]["errorText"]
    assert text_of(events) == "Let me see.It is 42."
    timing = data_of(events, "data-timing")[0]
    assert 0 < timing["ttft"] <= timing["firstGrounded"] <= timing["total"]


def test_arguments_that_json_encoders_refuse_are_shown_as_text(server, model, mock_server):
    model()
    arguments = [f'{{"expression": {10**30}}}', '{"expression": ' + "[" * 300 + "]" * 300 + "}"]
    calls = [{"name": "calculate", "arguments": text, "id": text[-9:]} for text in arguments]
    mock_server.script_by_kind(
        offers_tools=Behaviour(tool_calls=calls), has_tool_results=Behaviour(text="So.")
    )
    events = turn(server, mode="sync")
    assert text_of(events) == "So."
    assert [e["input"] for _, e in events if e["type"] == "tool-input-available"] == arguments


def test_marks_tell_when_each_step_and_tool_began_and_ended(server, model):
    model()
    marks = data_of(turn(server, mode="sync"), "data-mark")
    what = [(mark["what"], mark.get("tool") or mark["kind"]) for mark in marks]
    assert what[0] == ("step-start", "answer")
    assert ("tool-start", "calculate") in what
    assert ("tool-end", "calculate") in what
    times = [mark["at"] for mark in marks]
    assert times == sorted(times)


def test_a_preemption_is_an_interrupt_and_never_an_abort(server, mock_server, held_until):
    mock_server.script_by_kind(
        offers_tools=Behaviour(tool_calls=[{"name": "held", "arguments": {"name": "spoken"}}]),
        plain=Behaviour(text="说个不停。" * 400, tokens_per_s=4),
        has_tool_results=Behaviour(text="北京今天晴。"),
    )
    with reading(server.url, "/api/agent/stream", message="?", mode="preemptive") as reader:
        events = reader.until("text-delta")  # the bridge has begun
        held_until.joinpath("spoken").touch()
        events += reader
        assert reader.is_done
    told = mock_server.requests[-1].body["messages"]
    mock_server.reset()
    interrupt = data_of(events, "data-interrupt")[0]
    bridge = "".join(
        e["delta"]
        for _, e in events
        if e["type"] == "text-delta" and e["id"] == interrupt["textId"]
    )
    assert interrupt["shownChars"] == len(bridge) > 0
    assert "abort" not in kinds_of(events)
    assert text_of(events).endswith("北京今天晴。")
    assert f"<shown>{bridge}</shown>" in told[-1]["content"]


def test_a_turn_can_be_joined_again_and_has_the_same_events(server, model):
    model()
    with reading(server.url, "/api/agent/stream", message="?", mode="sync") as reader:
        events = list(reader)
    with rejoining(server.url, reader.stream_id, after=5) as again:
        assert list(again) == events[5:]


def test_stopping_a_turn_ends_it_and_its_upstream_request(server, model):
    mock_server = model(text="one two three four", fault="stall", after_pieces=2)
    with reading(server.url, "/api/agent/stream", message="?", mode="sync") as reader:
        for _, event in reader:
            if event["type"] == "text-delta" and event["delta"].startswith("one"):
                break
        assert post(server.url, f"/api/generations/{reader.stream_id}/stop")[0] == 200
        assert list(reader)[-1][1]["type"] == "abort"
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected)


def test_an_error_of_the_model_ends_the_turn_as_an_error(server, model):
    model(fault="status", status=401)
    events = turn(server, mode="sync")
    assert events[-1][1]["type"] == "error"
    assert events[-1][1]["code"] == "provider_auth"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"message": "?", "mode": "turbo"}, "mode"),
        ({"message": "?", "await": "most"}, "await"),
        ({"message": "?", "tools": ["nothing"]}, "tools"),
        ({"message": "?", "tools": "weather"}, "tools"),
        ({"mode": "sync"}, "message"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(server, said, field):
    status, reply = post(server.url, "/api/agent/stream", said)
    assert status == 400
    assert field in reply["error"]["message"]


def test_the_tools_say_what_they_take_and_do(server):
    address = server.url + "/api/agent/tools"
    with urllib.request.urlopen(address, timeout=60) as reply:  # noqa: S310 - our own server
        tools = {tool["name"]: tool for tool in json.load(reply)["tools"]}
    assert {"weather", "food", "calculate", "current_time"} <= set(tools)
    assert tools["weather"]["effect"] == "read_only"
    assert tools["weather"]["parameters"]["required"] == ["city"]


def test_only_the_chosen_tools_are_offered(server, model):
    mock_server = model()
    turn(server, mode="sync", tools=["calculate"])
    offered = [tool["function"]["name"] for tool in mock_server.requests[0].body["tools"]]
    assert offered == ["calculate"]
