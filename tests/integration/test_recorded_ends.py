"""How streams end that nobody ends, and who comes back to them; see `test_recorded.py`.

A stall, a gap, a drain; an answer that is joined again over a WebSocket, or by a browser.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from recording_world import World
from websockets.exceptions import ConnectionClosed

from xwe.mock import Behaviour
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade

STALLED = Behaviour(text="一二三四五六", fault="stall", after_pieces=3)
STALL = "三"
# More events than are kept of one answer.
LONG = Behaviour(text="字" * 60_000)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('database')}/xwe.db"
    upgrade(url)
    with closing(Database(url, timeout_s=60)) as opened:
        opened.url = url
        yield opened


@pytest.fixture(scope="module")
def start(serve, database):
    environ = {
        "XWE_DATABASE_URL": database.url,
        "XWE_DATABASE_TIMEOUT_S": "60",
        "XWE_MAX_LLM_RETRIES": "1",
        "LLM_BREAKER_FAILURES": "1000",
        "LLM_IDLE_TIMEOUT": "600",
        "LLM_STREAM_TIMEOUT": "600",
    }
    return lambda **more: serve(**(environ | more))


@pytest.fixture(scope="module")
def patient(start):
    return start()


@pytest.fixture(scope="module")
def impatient(start):
    """Does not wait long for a silent model."""
    return start(LLM_IDLE_TIMEOUT="1.5")


@pytest.fixture(scope="module")
def forgetful(start):
    """Forgets an answer as soon as it has ended."""
    return start(XWE_STREAM_KEEP="0.001")


@pytest.fixture
def draining(start):
    return start(XWE_DRAIN_TIMEOUT="0.5")


@pytest.fixture
def world_at(request, mock_server, database, tmp_path):
    mock_server.reset()
    name = request.node.name.removeprefix("test_")
    yield lambda server: World(name, server, mock_server, database, tmp_path)
    mock_server.reset()


def until_text(reader, wanted):
    """Read so much of a body without lines."""
    while wanted not in reader.text:
        piece = reader.response.read1()
        assert piece
        reader.text += piece.decode()


def talked(talk, until="done"):
    """What is heard until a message of this kind, and the message."""
    lines = []
    while not lines or talk.parsed(lines[-1])["type"] != until:
        lines.append(talk.socket.recv(60))
    return lines


def say_drained(world, talk, lines):
    """Write down what has been heard, what else is, and how the connection ends."""
    while True:
        try:
            lines.append(talk.socket.recv(60))
        except ConnectionClosed as closed:
            lines.append(f"closed: {closed.rcvd.code}")
            break
    world.transcript.say("chat", "\n".join(lines))


# --- a model that falls silent ---


def test_stall(impatient, world_at):
    """Three at a time, so that the patience is waited for once."""
    world = world_at(impatient)
    ada = world.person()
    world.model.script(STALLED, STALLED, STALLED)
    headers = {"Cookie": ada.cookie}
    with (
        world.opened("question", "/api/llm/stream", {"message": "hi"}) as question,
        world.opened("text", "/chat", {"prompt": "hi"}) as text,
        world.opened("stored turn", ada.path("stream"), {"content": "hi"}, headers) as turn,
    ):
        for reader in (question, text, turn):
            reader.rest()
    world.rows(ada)
    world.transcript.check()


# --- events that are no longer there ---


def test_gap(patient, world_at):
    world = world_at(patient)
    world.model.script(LONG)
    with world.opened("", "/api/llm/stream", {"message": "hi"}) as reader:
        reader.response.read()
    path = f"/api/generations/{reader.answer_id}/events"
    world.read("after the first", path, headers={"Last-Event-ID": "1"})
    last = len(LONG.text) + 4  # the events before its text, and the one after
    world.read("after the last of the text", path, headers={"Last-Event-ID": str(last)})
    world.transcript.check()


# --- who comes back ---


def test_plain_bytes(patient, world_at):
    """One piece each, so that nothing can be gathered: the very bytes."""
    world = world_at(patient)
    ada = world.person()
    world.model.script(Behaviour(text="好"), Behaviour(fault="status", status=401))
    headers = {"Cookie": ada.cookie}
    path = ada.path("stream") + "?content="
    answer_id = world.read("answer", path + "one", headers=headers)
    world.read("refused", path + "two", headers=headers)
    for title, number in (("half of it", 0), ("all of it", 1), ("more than all", 100)):
        given = {**headers, "Last-Event-ID": f"{answer_id}:{number}"}
        world.read(title, path + "one", headers=given)
    world.read("of no answer", path + "one", headers={**headers, "Last-Event-ID": "nothing:1"})
    world.rows(ada)
    world.transcript.check()


def test_stored_rejoined_while_it_runs(patient, world_at):
    world = world_at(patient)
    ada = world.person()
    headers = {"Cookie": ada.cookie}
    world.model.script(STALLED)
    with world.opened("answer", ada.path("stream"), {"content": "hi"}, headers) as one:
        one.until(STALL)
        path = f"/api/generations/{one.answer_id}/events"
        with world.opened("rejoined", path, headers=headers | {"Last-Event-ID": "4"}) as other:
            other.until(STALL)
            world.stop(one.answer_id, headers)
            one.rest()
            other.rest()
    world.rows(ada)
    world.transcript.check()


def test_agent_rejoined(patient, world_at):
    world = world_at(patient)
    call = {"name": "calculate", "arguments": {"expression": "6 * 7"}, "id": "c1"}
    world.model.script_by_kind(
        offers_tools=Behaviour(tool_calls=[call]), has_tool_results=Behaviour(text="It is 42.")
    )
    answer_id = world.read("turn", "/api/agent/stream", {"message": "hi", "mode": "sync"})
    world.read("again", f"/api/generations/{answer_id}/events", headers={"Last-Event-ID": "5"})
    world.transcript.check()


def test_socket_two_answers(patient, world_at):
    """Two conversations over one connection, and one of them twice."""
    world = world_at(patient)
    world.model.script(STALLED, Behaviour(text="好"))
    with world.talk() as talk:
        talk.say(type="chat", message="hi", id="first")
        lines = talked_until_text(talk)
        first = talk.parsed(lines[0])["stream"]
        talk.say(type="chat", message="hi", id="second")
        world.transcript.say("the first, to its standstill", "\n".join(lines))
        world.transcript.say("the second", "\n".join(talked(talk)))
        talk.say(type="rejoin", stream=first, after=4, id="again")
        world.transcript.say("the first again", "\n".join(talked_until_text(talk)))
        talk.say(type="stop", stream=first)
        world.transcript.say("stopped", "\n".join(talked(talk)))
    world.transcript.check()


def talked_until_text(talk):
    lines = []
    while not lines or STALL not in lines[-1]:
        lines.append(talk.socket.recv(60))
    return lines


def said(world, person):
    """A stored answer; its id, and who may read it."""
    world.model.script(Behaviour(text="好"))
    headers = {"Cookie": person.cookie, "Origin": world.server.url}
    return world.read("answer", person.path("stream"), {"content": "hi"}, headers), headers


def joined_over_a_socket(world, answer_id, headers):
    with world.talk(additional_headers=headers) as talk:
        talk.say(type="rejoin", stream=answer_id, after=0, id="again")
        lines = [talk.socket.recv(60)]
        if talk.parsed(lines[0])["type"] == "started":
            lines += talked(talk)
        world.transcript.say("rejoined", "\n".join(lines))
    world.transcript.check()


def test_socket_joins_a_stored_turn(patient, world_at):
    world = world_at(patient)
    joined_over_a_socket(world, *said(world, world.person()))


def test_socket_joins_a_forgotten_turn(forgetful, world_at):
    world = world_at(forgetful)
    answer_id, headers = said(world, world.person())
    world.wait_until_forgotten(answer_id, headers)
    joined_over_a_socket(world, answer_id, headers)


# --- the end of the process ---


def test_drain(draining, world_at):
    """A text, a WebSocket, and a request that waits for a whole answer, all at once."""
    world = world_at(draining)
    ada = world.person()
    world.model.script(STALLED, STALLED, STALLED)
    with (
        world.opened("text", "/chat", {"prompt": "hi"}) as text,
        world.talk() as talk,
        ThreadPoolExecutor(1) as pool,
    ):
        until_text(text, STALL)
        talk.say(type="chat", message="hi")
        lines = talked_until_text(talk)
        whole = pool.submit(ada.say, "hi")
        world.model.wait_until(lambda: len(world.model.requests) == 3, 60)
        world.drain()
        say_drained(world, talk, lines)
        text.rest()
        world.transcript.say("whole answer", "\n".join(map(str, whole.result())))
    world.rows(ada)
    world.transcript.check()
