"""Tasks over HTTP: a user's own, which they read, watch, cancel and retry."""

import asyncio
import contextlib
import http.client
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.serving import make_server

from xwe.bootstrap import build_services
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.settings import load_settings
from xwe.storage.migrating import upgrade
from xwe.storage.repositories import jobs
from xwe.web import create_app
from xwe.web.streaming.thread_writer import WritingTimes

SOON_S = 60
LISTED = "/api/tasks"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('app')}/xwe.db"
    upgrade(url)
    provider = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    settings = load_settings(provider | {"XWE_DATABASE_URL": url})
    services = build_services(settings)
    services.job_handlers["build"] = build
    services.jobs.start()
    app = create_app(settings, services)
    app.writing_times = WritingTimes(flush_s=0.01, heartbeat_s=0.5, check_s=0.02)
    yield app
    services.close()


class Led:
    """The work, as the test leads it: each step waits for a `go_on()`."""

    begun = threading.Semaphore(0)
    may_go_on = asyncio.Semaphore(0)

    @classmethod
    def go_on(cls):
        get_loop_thread().loop.call_soon_threadsafe(cls.may_go_on.release)


async def build(work):
    Led.begun.release()
    for percent in (50, 90):
        await Led.may_go_on.acquire()
        await work.progress(percent, f"at {percent}", {"背景故事": "running"})
    return {"role": "李白"}


@pytest.fixture(scope="module")
def address(app):
    """The application on a server of its own, with a thread for each request."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="wsgi-server")
    thread.start()
    yield f"127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Caller:
    """A user with their session, or nobody."""

    def __init__(self, address, user_id=None, cookie=None):
        self._address = address
        self.user_id = user_id
        self._headers = {"Sec-Fetch-Site": "same-origin"} | ({"Cookie": cookie} if cookie else {})

    def call(self, method, path):
        connection = http.client.HTTPConnection(self._address, timeout=SOON_S)
        with contextlib.closing(connection):
            connection.request(method, path, headers=self._headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    @contextlib.contextmanager
    def watching(self, task):
        """The task's states, each as it comes; None at the end."""
        connection = http.client.HTTPConnection(self._address, timeout=SOON_S)
        with contextlib.closing(connection):
            connection.request("GET", f"{LISTED}/{task}/events", headers=self._headers)
            response = connection.getresponse()
            assert (response.status, response.getheader("Content-Type").split(";")[0]) == (
                200,
                "text/event-stream",
            )
            with contextlib.closing(response):
                yield _states(response)


def _states(response):
    for line in iter(response.readline, b""):
        name, _, value = line.rstrip(b"\n").partition(b": ")
        if name == b"data":
            yield None if value == b"[DONE]" else json.loads(value)


@pytest.fixture(scope="module")
def register(app, address):
    def register(name):
        response = app.test_client().post(
            "/auth/register",
            json={"username": name, "password": "correct horse"},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert response.status_code in {200, 201}, response.text
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        return Caller(address, response.json["user"]["id"], cookie)

    return register


@pytest.fixture(scope="module")
def ada(register):
    return register("ada")


@pytest.fixture(scope="module")
def bob(register):
    return register("bob")


@pytest.fixture
def task(app, ada):
    """A task of Ada's, led by the test, and ended after it."""
    services = app.services
    with services.database.write() as writing:
        task = services.tasks.queue(writing, kind="build", payload={}, user_id=ada.user_id)
    assert Led.begun.acquire(timeout=SOON_S)
    yield task
    services.tasks.cancel(ada.user_id, task)
    with ada.watching(task) as states:
        assert list(states)[-1] is None


def until(states, **wanted):
    for state in states:
        assert state is not None
        if wanted.items() <= state.items():
            return state
    raise AssertionError(f"never {wanted}")


def test_a_task_is_watched_to_its_end(ada, task):
    with ada.watching(task) as states:
        assert next(states)["status"] == "running"
        Led.go_on()
        half = until(states, progress=50)
        assert (half["message"], half["categories"]) == ("at 50", {"背景故事": "running"})
        Led.go_on()
        done = until(states, status="done")
        assert (done["progress"], done["result"]) == (100, {"role": "李白"})
        assert next(states) is None
    status, body = ada.call("GET", f"{LISTED}/{task}")
    assert status == 200
    assert {name: body[name] for name in done} == done
    assert body["elapsed_sec"] >= 0


def test_a_cancelled_task_says_so_to_who_watches(ada, task):
    with ada.watching(task) as states:
        next(states)
        assert ada.call("POST", f"{LISTED}/{task}/cancel") == (200, {"ok": True})
        assert until(states, status="cancelled")
        assert next(states) is None


def test_a_cancelled_task_can_be_tried_again_and_a_running_one_cannot(ada, task):
    status, body = ada.call("POST", f"{LISTED}/{task}/retry")
    assert (status, body["error"]["code"]) == (409, "conflict")
    ada.call("POST", f"{LISTED}/{task}/cancel")
    with ada.watching(task) as states:
        until(states, status="cancelled")
    assert ada.call("POST", f"{LISTED}/{task}/retry") == (200, {"ok": True})
    assert Led.begun.acquire(timeout=SOON_S)


def test_a_users_tasks_are_listed_newest_first_and_page_by_page(app, ada, bob):
    later = datetime.now(UTC) + timedelta(hours=1)
    with app.services.database.write() as writing:
        made = [
            jobs.create(writing, kind="build", payload={}, user_id=bob.user_id, run_after=later).id
            for _ in range(3)
        ]

    def ids(query=""):
        return [item["id"] for item in bob.call("GET", LISTED + query)[1]["items"]]

    assert ids() == made[::-1]
    assert ids("?limit=2") == [made[2], made[1]]
    assert ids(f"?limit=2&before_id={made[1]}") == [made[0]]
    assert not set(ids()) & {item["id"] for item in ada.call("GET", LISTED)[1]["items"]}


@pytest.mark.parametrize("query", ["?limit=0", "?limit=x", "?before_id=-1", "?limit=²"])
def test_a_query_that_makes_no_sense_names_the_field(ada, query):
    status, body = ada.call("GET", LISTED + query.replace("²", "%C2%B2"))
    assert (status, body["error"]["code"]) == (400, "invalid_request")
    assert query[1:].partition("=")[0] in body["error"]["message"]


ROUTES = [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")]


@pytest.mark.parametrize(("method", "rest"), ROUTES)
def test_anothers_task_is_not_there_as_one_that_never_was(ada, bob, task, method, rest):
    refusals = [
        bob.call(method, f"{LISTED}/{name}{rest}")
        for name in (task, 999_999, "9" * 40, "x", "%E4%BA%8C")
    ]
    assert {status for status, _ in refusals} == {404}
    assert len({json.dumps(body) for _, body in refusals}) == 1
    assert ada.call("GET", f"{LISTED}/{task}")[1]["status"] == "running"


@pytest.mark.parametrize(("method", "rest"), [*ROUTES, ("GET", None)])
def test_nobody_has_tasks(address, method, rest):
    path = LISTED if rest is None else f"{LISTED}/1{rest}"
    status, body = Caller(address).call(method, path)
    assert (status, body["error"]["code"]) == (401, "unauthorized")


def test_who_leaves_gives_the_place_back(app, ada, task):
    left = threading.Event()
    take_back = app.reader_slots.take_back

    def told_take_back(owner):
        take_back(owner)
        left.set()

    app.reader_slots.take_back = told_take_back
    try:
        with ada.watching(task) as states:
            next(states)
        assert left.wait(SOON_S)
    finally:
        del app.reader_slots.take_back
    assert ada.call("GET", f"{LISTED}/{task}")[1]["status"] == "running"
