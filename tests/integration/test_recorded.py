"""Some fifty streams and rows, byte by byte as they were recorded in `recorded/`.

Whoever changes what goes over the wire on purpose records the file anew, and the change shows in
the diff: `RECORD_STREAMS=1 make test ARGS="tests/integration/test_recorded.py -k NAME"`.
"""

from contextlib import closing

import pytest
from event_source import EventSource
from recording_world import World

from xwe.mock import Behaviour
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade

TEXT = "桥把两岸轻轻缝合，😀 and the river\ngoes on."
STALLED = Behaviour(text="一二三四五六", fault="stall", after_pieces=3)
# What a reader has seen when the stalled model has said all that it will.
STALL = "三"

TOOLS = """
import asyncio, os, pathlib
from xwe import tool
from xwe.core.nlp.tools.progress import Progress

@tool(effect="read_only", timeout_s=100)
async def held(name: str, progress: Progress) -> str:
    \"\"\"Waits.\"\"\"
    while not pathlib.Path(os.environ["HELD_UNTIL"], name).exists():
        await asyncio.sleep(0.02)
    progress(0.5, "half")
    return name
"""
CALLS = [
    {"name": "calculate", "arguments": {"expression": "6 * 7"}, "id": "c1"},
    {"name": "current_time", "arguments": {"timezone": "Nowhere/Land"}, "id": "c2"},
]
SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('database')}/xwe.db"
    upgrade(url)
    return url


@pytest.fixture(scope="module")
def database(url):
    with closing(Database(url, timeout_s=60)) as opened:
        yield opened


@pytest.fixture(scope="module")
def held_until(tmp_path_factory):
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def start(serve, url, held_until):
    """Starts servers on the one database."""
    (held_until / "recorded_tools.py").write_text(TOOLS)
    environ = {
        "XWE_DATABASE_URL": url,
        "XWE_DATABASE_TIMEOUT_S": "60",
        "XWE_TOOLS": "recorded_tools:held",
        "PYTHONPATH": str(held_until),
        "HELD_UNTIL": str(held_until),
        "XWE_MAX_LLM_RETRIES": "1",
        "LLM_BREAKER_FAILURES": "1000",
        # A silent model is ended by the scenario, and by nothing else.
        "LLM_IDLE_TIMEOUT": "600",
        "LLM_STREAM_TIMEOUT": "600",
    }
    return lambda **more: serve(**environ, **more)


@pytest.fixture(scope="module")
def server(start):
    return start()


@pytest.fixture(scope="module")
def forgetful_server(start):
    """Forgets an answer as soon as it has ended."""
    return start(XWE_STREAM_KEEP="0.001")


@pytest.fixture
def world(request, server, mock_server, database, held_until):
    mock_server.reset()
    name = request.node.callspec.params["name"]
    if name.startswith("drain"):
        start = request.getfixturevalue("start")
        server = start(XWE_DRAIN_TIMEOUT="0.5")
    elif name.endswith("forgotten"):
        server = request.getfixturevalue("forgetful_server")
    yield World(name, server, mock_server, database, held_until)
    mock_server.reset()


def asked(world, *behaviours, path="/api/llm/stream", **said):
    """A question to a model that behaves like this."""
    world.model.script(*behaviours)
    return world.read("answer", path, {"message": "hi", **said})


# --- plain questions ---


@scenario
def llm_finish(world):
    asked(world, Behaviour(text=TEXT))


@scenario
def llm_reasoning(world):
    asked(world, Behaviour(text="好", reasoning="想一想"))


@scenario
def llm_cut(world):
    asked(world, Behaviour(text=TEXT, cut_after=4))


@scenario
def llm_empty(world):
    asked(world, Behaviour(text=""))


@scenario
def llm_pieces_of_bytes(world):
    asked(world, Behaviour(text="雾😀中桥", write_bytes=1))


@scenario
def llm_stopped(world):
    world.model.script(STALLED)
    with world.opened("answer", "/api/llm/stream", {"message": "hi"}) as reader:
        reader.until(STALL)
        world.stop(reader.answer_id)
        reader.rest()


@scenario
def llm_two_readers(world):
    world.model.script(STALLED)
    with world.opened("one", "/api/llm/stream", {"message": "hi"}) as one:
        one.until(STALL)
        path = f"/api/generations/{one.answer_id}/events"
        with world.opened("other", path, headers={"Last-Event-ID": "3"}) as other:
            other.until(STALL)
            world.stop(one.answer_id)
            one.rest()
            other.rest()


@scenario
def llm_rejoined_after_the_end(world):
    answer_id = asked(world, Behaviour(text=TEXT))
    path = f"/api/generations/{answer_id}/events"
    world.read("all of it", path)
    world.read("its end", path, headers={"Last-Event-ID": "8"})
    world.read("a number that it never had", path, headers={"Last-Event-ID": "800"})
    world.read("no number", path, headers={"Last-Event-ID": "x"})


@scenario
def llm_unknown(world):
    world.read("answer", "/api/generations/nothing/events")


@scenario
def llm_refused(world):
    asked(world, Behaviour(fault="status", status=401))


@scenario
def llm_error_event(world):
    asked(world, Behaviour(text=TEXT, fault="error_event", after_pieces=3))


@scenario
def llm_closed(world):
    asked(world, Behaviour(text=TEXT, fault="close", after_pieces=3))


@scenario
def llm_malformed(world):
    asked(world, Behaviour(text=TEXT, fault="malformed_json", after_pieces=3))


@scenario
def llm_without_a_finish_reason(world):
    asked(world, Behaviour(text=TEXT, fault="no_finish_reason"))


@scenario
def llm_truncated(world):
    asked(world, Behaviour(text=TEXT, fault="truncate", after_pieces=3))


@scenario
def llm_bad_body(world):
    world.read("answer", "/api/llm/stream", {"message": 7})


# --- plain text ---


@scenario
def text_finish(world):
    world.model.script(Behaviour(text=TEXT))
    world.read("answer", "/chat?prompt=hi")


@scenario
def text_of_a_conversation(world):
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    asked(world, Behaviour(text=TEXT), path="/chat", prompt="three", messages=said, message=None)


@scenario
def text_empty(world):
    world.model.script(Behaviour(text=""))
    world.read("answer", "/chat?prompt=hi")


@scenario
def text_refused(world):
    world.model.script(Behaviour(fault="status", status=401))
    world.read("answer", "/chat?prompt=hi")


@scenario
def text_cut_off(world):
    world.model.script(Behaviour(text=TEXT, fault="close", after_pieces=3))
    world.read("answer", "/chat?prompt=hi")


@scenario
def text_head(world):
    world.read("answer", "/chat?prompt=hi", method="HEAD")


# --- turns with tools ---


def turn(world, mode, **final):
    world.model.script_by_kind(
        offers_tools=Behaviour(text="Let me see.", tool_calls=CALLS),
        plain=Behaviour(text="Meanwhile."),
        has_tool_results=Behaviour(**{"text": "It is 42.", **final}),
    )
    said = {"message": "6 * 7?", "mode": mode, "tools": ["calculate", "current_time"]}
    world.read("turn", "/api/agent/stream", said)


@scenario
def agent_sync(world):
    turn(world, "sync")


@scenario
def agent_error_in_the_last_answer(world):
    turn(world, "sync", fault="status", status=401)


@scenario
def agent_without_calls(world):
    world.model.script_by_kind(offers_tools=Behaviour(text="No need."))
    world.read("turn", "/api/agent/stream", {"message": "hi", "mode": "preemptive"})


@scenario
def agent_unknown_tool(world):
    said = {"message": "hi", "mode": "sync", "tools": ["nothing"]}
    world.read("turn", "/api/agent/stream", said)


def held_turn(world, mode, name, bridge):
    call = {"name": "held", "arguments": {"name": name}, "id": "c1"}
    world.model.script_by_kind(
        offers_tools=Behaviour(tool_calls=[call]),
        plain=bridge,
        has_tool_results=Behaviour(text="Done."),
    )
    said = {"message": "hi", "mode": mode, "tools": ["held"]}
    return world.opened("turn", "/api/agent/stream", said)


@scenario
def agent_preemptive(world):
    with held_turn(world, "preemptive", "cut", STALLED) as reader:
        reader.until(STALL)
        world.let_go("cut")
        reader.rest()


@scenario
def agent_non_preemptive(world):
    with held_turn(world, "non_preemptive", "whole", Behaviour(text="一二三")) as reader:
        reader.until(STALL).until("step-end")
        world.let_go("whole")
        reader.rest()


@scenario
def agent_stopped(world):
    with held_turn(world, "preemptive", "never", STALLED) as reader:
        reader.until(STALL)
        world.stop(reader.answer_id)
        reader.rest()


# --- stored turns ---


def streamed(world, person, content="hi", **more):
    said = {"content": content, **more}
    return world.opened(content, person.path("stream"), said, {"Cookie": person.cookie})


@scenario
def stored_finish(world):
    ada = world.person(first_message="我是孙悟空。")
    world.model.script(Behaviour(text=TEXT), Behaviour(text="second"))
    for content in ("one", "two"):
        with streamed(world, ada, content) as reader:
            reader.rest()
    world.rows(ada)


@scenario
def stored_stopped(world):
    ada = world.person()
    world.model.script(STALLED)
    with streamed(world, ada) as reader:
        reader.until(STALL)
        world.stop(reader.answer_id, {"Cookie": ada.cookie})
        reader.rest()
    world.rows(ada)


@scenario
def stored_refused(world):
    ada = world.person()
    world.model.script(Behaviour(fault="status", status=401))
    with streamed(world, ada) as reader:
        reader.rest()
    world.rows(ada)


@scenario
def stored_broken(world):
    ada = world.person()
    world.model.script(Behaviour(text="一二三四五六", fault="close", after_pieces=3))
    with streamed(world, ada) as reader:
        reader.rest()
    world.rows(ada)


@scenario
def stored_whole(world):
    ada = world.person()
    world.model.script(Behaviour(text=TEXT), Behaviour(fault="status", status=401))
    for content in ("one", "two"):
        headers = {"Cookie": ada.cookie}
        world.read(content, ada.path("messages"), {"content": content}, headers)
    world.rows(ada)


@scenario
def stored_regenerated(world):
    ada = world.person()
    world.model.script(Behaviour(text="first"), Behaviour(text="second"))
    message = ada.say("hi")[1]["message_id"]
    headers = {"Cookie": ada.cookie}
    world.read("anew", ada.path(f"messages/{message}/regenerate"), {}, headers)
    world.rows(ada)


@scenario
def stored_repeated(world):
    ada = world.person()
    world.model.script(STALLED)
    with streamed(world, ada, client_id="m1") as one:
        one.until(STALL)
        with streamed(world, ada, client_id="m1") as other:
            other.until(STALL)
            world.stop(one.answer_id, {"Cookie": ada.cookie})
            one.rest()
            other.rest()
    with streamed(world, ada, client_id="m1") as again:
        again.rest()
    with streamed(world, ada, content="something else", client_id="m1") as clash:
        clash.rest()
    world.rows(ada)


@scenario
def stored_busy(world):
    ada = world.person()
    world.model.script(STALLED)
    with streamed(world, ada) as one:
        one.until(STALL)
        with streamed(world, ada, "another") as refused:
            refused.rest()
        world.stop(one.answer_id, {"Cookie": ada.cookie})
        one.rest()


@scenario
def stored_rejoined(world):
    ada = world.person()
    world.model.script(Behaviour(text=TEXT))
    with streamed(world, ada) as reader:
        reader.rest()
    headers = {"Cookie": ada.cookie, "Last-Event-ID": "9"}
    world.read("again", f"/api/generations/{reader.answer_id}/events", None, headers)


@scenario
def stored_rejoined_when_forgotten(world):
    """What is no longer in memory is replayed from its row, whatever ended it."""
    ada = world.person()
    behaviours = {
        "complete": Behaviour(text=TEXT),
        "failed": Behaviour(fault="status", status=401),
        "partial": Behaviour(text="一二三四五六", fault="close", after_pieces=3),
    }
    world.model.script(*behaviours.values())
    headers = {"Cookie": ada.cookie}
    for name in behaviours:
        with world.opened(name, ada.path("stream"), {"content": name}, headers) as reader:
            reader.response.read()
        world.wait_until_forgotten(reader.answer_id, headers)
        path = f"/api/generations/{reader.answer_id}/events"
        world.read(name, path, None, {**headers, "Last-Event-ID": "900"})


# --- the compatible stream ---


@scenario
def plain_finish(world):
    world.model.script(Behaviour(text=TEXT))
    world.read_plainly("answer", world.person(), "hi")


@scenario
def plain_refused(world):
    world.model.script(Behaviour(fault="status", status=401))
    world.read_plainly("answer", world.person(), "hi")


@scenario
def plain_broken(world):
    world.model.script(Behaviour(text="一二三四五六", fault="close", after_pieces=3))
    world.read_plainly("answer", world.person(), "hi")


# --- WebSocket ---


def heard(world, title, talk, until="done"):
    lines, kind = [], None
    while kind != until:
        lines.append(talk.socket.recv(60))
        kind = talk.parsed(lines[-1])["type"]
    world.transcript.say(title, "\n".join(lines))
    return talk.parsed(lines[0])


@scenario
def socket_finish(world):
    world.model.script(Behaviour(text=TEXT))
    with world.talk() as talk:
        talk.say(type="chat", message="hi", id="mine")
        answer = heard(world, "chat", talk)["stream"]
        talk.say(type="rejoin", stream=answer, after=8)
        heard(world, "rejoin", talk)
        talk.say(type="rejoin", stream="nothing", after=0)
        heard(world, "unknown", talk, "error")
        talk.say(type="ping", id=7)
        heard(world, "ping", talk, "pong")


@scenario
def socket_stopped(world):
    world.model.script(STALLED)
    with world.talk() as talk:
        talk.say(type="chat", message="hi")
        lines = [talk.socket.recv(60)]
        answer = talk.parsed(lines[0])["stream"]
        while STALL not in lines[-1]:
            lines.append(talk.socket.recv(60))
        world.transcript.say("chat", "\n".join(lines))
        talk.say(type="stop", stream=answer)
        heard(world, "stopped", talk)


@scenario
def socket_broken(world):
    world.model.script(Behaviour(text=TEXT, fault="error_event", after_pieces=3))
    with world.talk() as talk:
        talk.say(type="chat", message="hi")
        heard(world, "chat", talk)


@scenario
def socket_notified(world):
    ada = world.person()
    world.model.script(Behaviour(text="好"))
    headers = {"Cookie": ada.cookie, "Origin": world.server.url}
    with world.talk(additional_headers=headers) as talk:
        talk.say(type="subscribe")
        heard(world, "subscribe", talk, "subscribed")
        ada.say("hi")
        lines = [talk.socket.recv(60) for _ in ("streaming", "complete")]
        world.transcript.say("notifications", "\n".join(lines))


# --- the end of the process ---


@scenario
def drain_of_a_question(world):
    world.model.script(STALLED)
    with world.opened("answer", "/api/llm/stream", {"message": "hi"}) as reader:
        reader.until(STALL)
        world.drain()
        reader.rest()


@scenario
def drain_of_a_stored_turn(world):
    ada = world.person()
    world.model.script(STALLED)
    with streamed(world, ada) as reader:
        reader.until(STALL)
        world.drain()
        reader.rest()
    world.rows(ada)


@scenario
def drain_of_a_turn_with_tools(world):
    with held_turn(world, "preemptive", "never", STALLED) as reader:
        reader.until(STALL)
        world.drain()
        reader.rest()


@scenario
def drain_of_a_plain_stream(world):
    ada = world.person()
    world.model.script(STALLED)
    path = ada.path("stream") + "?content=hi"
    with world.opened("answer", path, headers={"Cookie": ada.cookie}) as reader:
        source = EventSource()
        while source.text != "一二三":
            line = reader.response.readline()
            assert line
            source.feed(line)
        world.drain()
        source.feed(reader.response.read())
    world.transcript.say("answer", f"text: {source.text!r}\nlast: {source.kinds[-1]}")
    world.rows(ada)


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_is_as_it_was_recorded(world, name):
    SCENARIOS[name](world)
    world.transcript.check()
