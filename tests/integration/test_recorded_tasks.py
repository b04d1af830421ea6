"""A task's events byte by byte, as they were recorded in `recorded/`; see `test_recorded.py`.

How many states of a working task a reader sees is up to the clock. So a live one is recorded where
the model stands still, and a whole one by what holds of all its states and by the last.
"""

import json
from contextlib import closing

import pytest
from character_workshop import about, fails_for
from recording_world import World

from xwe.mock import Behaviour
from xwe.mock.rules import Rule
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade
from xwe.storage.repositories import characters

LAST_QUESTION = "写两段文字"
# The sheet's last question is never answered: all else is written, and the task stands still.
STANDSTILL = Rule(about(LAST_QUESTION), Behaviour(fault="no_headers"))


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('database')}/xwe.db"
    upgrade(url)
    with closing(Database(url, timeout_s=60)) as opened:
        opened.url = url
        yield opened


@pytest.fixture(scope="module")
def server(serve, database):
    return serve(
        XWE_DATABASE_URL=database.url, XWE_DATABASE_TIMEOUT_S="60", XWE_MAX_LLM_RETRIES="1"
    )


@pytest.fixture
def world(request, server, mock_server, database, tmp_path):
    mock_server.reset()
    yield World(request.node.name.removeprefix("test_"), server, mock_server, database, tmp_path)
    mock_server.reset()


def begun(world, person):
    """The task of a character that the person has asked for."""
    asked = {"role": "孙悟空二", "source": "text", "text": "孙悟空从石头里出生。"}
    status, reply, _ = person.ask("POST", "/api/characters", asked)
    assert status == 202, reply
    return reply["task_id"]


def say_whole(world, person, task_id):
    """Write down what holds of all states of a task, and its last one."""
    with world.opened(
        "", f"/api/tasks/{task_id}/events", headers={"Cookie": person.cookie}
    ) as reader:
        frames = reader.response.read().decode().split("\n\n")
    *states, end, nothing = frames
    numbers = [int(state.partition("\n")[0].removeprefix("id: ")) for state in states]
    seen = [json.loads(state.partition("\ndata: ")[2])["progress"] for state in states]
    world.transcript.say(
        "all states",
        f"numbered from 1 on: {numbers == list(range(1, len(states) + 1))}\n"
        f"progress never falls: {seen == sorted(seen)}\nafter the end: {nothing!r}",
    )
    last = states[-1].partition("\n")[2]
    world.transcript.say("last state", f"{last}\n\n{end}")


def say_sheet(world, person):
    """Write down which parts of the sheet are there."""
    with world.database.read() as reading:
        sheet = characters.get(reading, person.id, "孙悟空二")
    written = {name: sorted(fields) for name, fields in sheet.profile.items()}
    lines = [f"{name}: {' '.join(fields)}" for name, fields in written.items()]
    lines.sort()
    world.transcript.say("sheet", "\n".join([*lines, f"version={sheet.version}"]))


def test_task_done(world):
    ada = world.person()
    task_id = begun(world, ada)
    say_whole(world, ada, task_id)
    headers = {"Cookie": ada.cookie}
    world.read("who comes later", f"/api/tasks/{task_id}/events", headers=headers)
    say_sheet(world, ada)
    world.transcript.check()


def test_task_with_a_failed_category(world):
    ada = world.person()
    world.model.follow(fails_for("“背景故事”"))
    task_id = begun(world, ada)
    say_whole(world, ada, task_id)
    say_sheet(world, ada)
    world.transcript.check()


def test_task_that_failed(world):
    ada = world.person()
    world.model.follow(fails_for())
    task_id = begun(world, ada)
    say_whole(world, ada, task_id)
    say_sheet(world, ada)
    world.transcript.check()


def test_task_cancelled(world):
    ada = world.person()
    headers = {"Cookie": ada.cookie}
    world.model.follow(STANDSTILL)
    task_id = begun(world, ada)
    # The question is asked after the state that tells of it has been stored.
    world.model.wait_until(lambda: any(map(is_last_question, world.model.requests)), 60)
    with world.opened("states", f"/api/tasks/{task_id}/events", headers=headers) as reader:
        reader.until("\n\n")
        assert ada.ask("POST", f"/api/tasks/{task_id}/cancel", {})[:2] == (200, {"ok": True})
        reader.rest()
    world.transcript.check()


def is_last_question(request):
    return about(LAST_QUESTION)(request.body)
