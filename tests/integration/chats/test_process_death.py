"""A server process that is killed, or told to end, in the middle of an answer."""

import contextlib
import os
import signal
import subprocess
import time

import pytest
from chat_person import Person
from stream_client import kinds_of, text_of

from xwe.mock import Behaviour
from xwe.storage.database import Database
from xwe.storage.migrating import upgrade

TEXT = "一二三四五六七八九十" * 1000
SNAPSHOT_S = 0.2
LEASE_S = 3.0
# The real figures are a minute and two seconds, at a lease of 30 s and a snapshot a second.
REAPED_WITHIN_S = 60.0


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service("postgresql"))]
)
def database(request, tmp_path):
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/xwe.db"
        else:
            from postgresql import new_database  # noqa: PLC0415 - the service may not be there

            url = stack.enter_context(new_database())
        upgrade(url)
        opened = stack.enter_context(contextlib.closing(Database(url, timeout_s=60)))
        opened.url = url
        yield opened


@pytest.fixture
def new_server(serve, database):
    def start():
        return serve(
            XWE_DATABASE_URL=database.url,
            XWE_DATABASE_TIMEOUT_S="60",
            XWE_CHAT_LEASE=str(LEASE_S),
            XWE_CHAT_SNAPSHOT=str(SNAPSHOT_S),
            XWE_CHAT_REAP="0.2",
            XWE_DRAIN_TIMEOUT="2",
        )

    return start


def kill(app):
    """The master and its workers at once, as when the machine loses its memory."""
    children = subprocess.run(
        ["pgrep", "-P", str(app.process.pid)], capture_output=True, text=True, check=False
    )
    os.kill(app.process.pid, signal.SIGKILL)
    for child in children.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    app.process.wait(60)


def stored_length(person, at_least):
    """How much of the answer in the making has been stored, as soon as it is so much."""
    until = time.monotonic() + REAPED_WITHIN_S
    while len(content := person.messages()[-1]["content"]) < at_least:
        assert time.monotonic() < until, content
        time.sleep(0.05)  # a snapshot is told to nobody
    return len(content)


def answer_once_ended(person):
    """The last answer, when it is no longer in the making."""
    until = time.monotonic() + REAPED_WITHIN_S
    while (answer := person.messages()[-1])["status"] == "streaming":
        assert time.monotonic() < until, answer
        time.sleep(0.05)  # what ends it is another process, which tells nobody
    return answer


def test_a_killed_server_loses_the_last_moment_and_another_ends_the_row(
    new_server, database, mock_server
):
    app = new_server()
    ada = Person(app.url, database)
    ada.say("before")
    mock_server.script(Behaviour(text=TEXT, tokens_per_s=200))
    with ada.streaming("hi"):
        stored = stored_length(ada, at_least=100)
        kill(app)
    second = ada.at(new_server().url)
    answer = answer_once_ended(second)
    assert (answer["status"], answer["error_code"]) == ("partial", "answer_lost")
    assert TEXT.startswith(answer["content"])
    assert len(answer["content"]) >= stored
    assert second.messages()[0]["content"] == "before"
    with second.rejoining(answer["generation_id"], after=50) as again:
        events = list(again)
    assert text_of(events) == answer["content"]
    assert kinds_of(events)[-1] == "error"
    assert second.say("and now?")[0] == 200


def test_a_server_that_ends_in_order_leaves_no_row_in_the_making(new_server, database, mock_server):
    app = new_server()
    ada = Person(app.url, database)
    mock_server.script(Behaviour(text=TEXT, fault="stall", after_pieces=3))
    with ada.streaming("hi") as reading:
        seen = reading.until("text-delta")
        assert app.stop() == 0
        seen += list(reading)
    assert kinds_of(seen)[-1] == "data-shutdown"
    second = ada.at(new_server().url)
    answer = second.messages()[-1]
    assert (answer["status"], answer["content"]) == ("partial", text_of(seen))
    assert answer["error_code"] == "draining"
