"""Sixty-four users at once, each with a mark of its own: nobody ever meets another's mark.

Under gunicorn, over every kind of route, good answers and failing ones side by side. The model
puts the asker's mark into its answer; the server's own log lines and the context variables of
each request, wherever its code runs, are looked at too.
"""

import http.client
import json
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from xwe.mock import Behaviour, MockServer, Rule

USERS = 64
ROUNDS = 3
MARK = re.compile(r"mark-\d\d-of-a-user")

# The real application, with a route that says what its context is at each place it gets to.
APPLICATION = """
import asyncio
import logging
from contextvars import ContextVar

from flask import request

from xwe.core.concurrency.bridge import async_route
from xwe.core.concurrency.executor import get_global_executor
from xwe.core.concurrency.iteration import iterate_in_sync
from xwe.core.nlp.observation import request_id, user_id
from xwe.observability.logs import configure_logging
from xwe.settings import load_settings
from xwe.web import create_app

settings = load_settings()
configure_logging(settings)
application = create_app(settings)
own = ContextVar("own")
log = logging.getLogger("xwe.marks")

def seen():
    log.warning("seen by %s", own.get())
    return [own.get(), request_id.get(), user_id.get()]

async def some_places():
    yield seen()
    await asyncio.sleep(0)
    yield seen()

async def other_places():
    loop = asyncio.get_running_loop()
    in_pool = get_global_executor().submit(seen)
    later = asyncio.create_task(in_a_task())
    return [seen(), await asyncio.wrap_future(in_pool), await asyncio.to_thread(seen), await later]

async def in_a_task():
    await asyncio.sleep(0)
    return seen()

@async_route
async def on_the_loop():
    return await other_places()

@application.get("/context/<mark>")
def context(mark):
    own.set(mark)
    user_id.set(mark)
    return {"seen": [seen(), *iterate_in_sync(some_places()), *on_the_loop(), request.path]}
"""


def marks():
    return [f"mark-{number:02}-of-a-user" for number in range(USERS)]


@pytest.fixture
def model():
    """Answers each with its mark; who says "fail" gets nonsense with its mark in it."""
    with MockServer() as server:
        rules = []
        for mark in marks():
            nonsense = Behaviour(fault="html", broken_text=f"<title>nonsense {mark}</title>")
            good = Behaviour(text=f"an answer for {mark}, and {mark} alone", tokens_per_s=400)
            rules += [Rule(both(mark, "fail"), nonsense), Rule(both(mark, ""), good)]
        server.follow(*rules)
        yield server


def both(mark, word):
    return lambda body: mark in (said := str(body["messages"])) and word in said


@pytest.fixture
def server(gunicorn, model):
    return gunicorn(
        APPLICATION,
        *("--access-logfile", "access.log"),
        LLM_BASE_URL=model.base_url,
        LLM_CACHE_TTL="60",
        LLM_BREAKER_FAILURES="100000",
        # Two cores are busy with all of this, and an answer that is late is none of its subject.
        LLM_CONNECT_TIMEOUT="120",
        LLM_FIRST_TOKEN_TIMEOUT="120",
        LLM_IDLE_TIMEOUT="120",
        LLM_ASYNC_TIMEOUT="120",
        LOG_LEVEL="INFO",
    )


def ask_everything(port, mark, together):
    """What one user is told, on one connection; with its request's own ids."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    told = []

    def ask(method, path, body=None):
        headers = {"X-Request-ID": mark}
        connection.request(method, path, body and json.dumps(body), headers)
        response = connection.getresponse()
        told.append(f"{response.status} {response.headers}{response.read().decode()}")

    try:
        for number in range(ROUNDS):
            together.wait()
            said = f"{mark} asks {number}"
            history = [{"role": "user", "content": f"{mark} was here"}]
            ask("POST", "/api/llm/chat", {"message": said})
            # The same again, cold: from the cache or shared with another call of its own.
            ask("POST", "/api/llm/chat", {"message": said, "temperature": 0})
            ask("POST", "/api/llm/conversation", {"messages": history, "new_message": said})
            ask("POST", "/api/llm/batch", {"prompts": [said, f"fail {said}", f"{said} more"]})
            ask("POST", "/api/llm/stream", {"message": said})
            ask("GET", f"/chat?prompt={quote(said)}")
            ask("POST", "/api/llm/chat", {"message": f"fail {said}"})
            ask("POST", "/api/llm/stream", {"message": f"fail {said}"})
            ask("GET", f"/context/{mark}")
    finally:
        together.abort() if len(told) < 9 * ROUNDS else None
        connection.close()
    return told


def test_no_mark_is_seen_by_anybody_else(server, model, tmp_path):
    together = threading.Barrier(USERS)
    with ThreadPoolExecutor(USERS) as pool:
        asked = [pool.submit(ask_everything, server.port, mark, together) for mark in marks()]
        told = [future.result() for future in asked]

    for mark, replies in zip(marks(), told, strict=True):
        statuses = [reply[:3] for reply in replies]
        assert statuses == ["200", "200", "200", "200", "200", "200", "502", "200", "200"] * ROUNDS
        for reply in replies:
            assert set(MARK.findall(reply)) == {mark}
        for context in replies[8::9]:
            *places, path = json.loads(context.rpartition("\n\n")[2])["seen"]
            assert places == [[mark, mark, mark]] * len(places)
            assert len(places) == 7
            assert path == f"/context/{mark}"

    # Nor did the model hear two of them in one request.
    assert len(model.requests) >= USERS * ROUNDS * 9
    for request in model.requests:
        assert len(set(MARK.findall(str(request.body["messages"])))) == 1

    server.signal(signal.SIGTERM)
    server.wait()  # a line is written after its reply has been sent
    lines = server.log.splitlines()
    accesses = (tmp_path / "access.log").read_text("utf-8").splitlines()
    for line in lines + accesses:
        assert set(MARK.findall(line)) in ({json.loads(line)["request_id"]}, set()), line
    assert sum(bool(MARK.search(line)) for line in accesses) == USERS * ROUNDS * 9
    records = [json.loads(line) for line in lines]
    assert sum(record["logger"] == "xwe.llm" for record in records) == USERS * ROUNDS * 3
    seen = [record for record in records if record["logger"] == "xwe.marks"]
    assert len(seen) == USERS * ROUNDS * 7
    for record in seen:
        assert record["message"] == f"seen by {record['request_id']}"
        assert record["user_id"] == record["request_id"]
