"""Streams, overload and deadlines of asynchronous views in real Flask applications."""

import asyncio
import functools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import flask
import pytest

from xwe.core.concurrency.bridge import AsyncBridge, async_route
from xwe.core.concurrency.executor import offload
from xwe.errors import DeadlineExceededError, SaturatedError

# -- streams


class Source:
    """An asynchronous iterator that is not a generator, and tells when it was closed."""

    def __init__(self):
        self.closed = False
        self._left = 2

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return f"piece {self._left} "

    async def aclose(self):
        self.closed = True


@pytest.fixture(params=["true", "false"])
def streaming(request, monkeypatch, new_app):
    """An application whose views stream; the kill switch is thrown in half of the tests."""
    monkeypatch.setenv("LLM_ASYNC_ENABLED", request.param)
    app = new_app()
    AsyncBridge(app)
    app.go_on, app.closed = threading.Event(), threading.Event()
    app.source = Source()

    async def pieces(name):
        try:
            yield f"first for {name}\n"
            await offload(app.go_on.wait, 60)
            yield f"第二 for {flask.request.args['user']}\n"
        finally:
            app.closed.set()

    @app.get("/generator")
    @async_route
    async def generator():
        async for piece in pieces(flask.request.args["user"]):
            yield piece

    @app.get("/returned")
    async def returned():
        await asyncio.sleep(0)
        return pieces(flask.request.args["user"])

    @app.get("/object")
    @async_route
    def an_object():
        return app.source

    return app


@pytest.mark.parametrize("path", ["/generator", "/returned"])
def test_an_async_generator_is_streamed_piece_by_piece_and_sees_the_request(
    streaming, serve_app, path
):
    connection, response = serve_app(streaming).open(f"{path}?user=ann")
    assert response.readline() == b"first for ann\n"
    streaming.go_on.set()
    assert response.read().decode() == "第二 for ann\n"
    connection.close()
    assert streaming.closed.wait(60)


def test_a_reader_that_leaves_closes_the_generator(streaming):
    response = streaming.test_client().get("/generator?user=ann", buffered=False)
    chunks = response.iter_encoded()
    assert next(chunks) == b"first for ann\n"
    response.close()
    assert streaming.closed.is_set()


def test_a_stream_that_is_never_read_is_closed_too(streaming):
    response = streaming.test_client().get("/object", buffered=False)
    response.close()
    assert streaming.source.closed


# -- overload and deadlines


class Gate:
    """A view that stays until it is let go."""

    def __init__(self, app):
        self.entered, self._leave = threading.Semaphore(0), threading.Event()
        app.add_url_rule("/gate", view_func=self.view)

    async def view(self):
        self.entered.release()
        await offload(self._leave.wait, 60)
        return "through"

    def open(self):
        self._leave.set()


def test_overload_is_answered_with_503_and_retry_after(serve_app, new_app):
    app = new_app()
    bridge = AsyncBridge(app, max_running=1)
    gate = Gate(app)
    client = serve_app(app)
    with ThreadPoolExecutor(1) as user:
        first = user.submit(client.get, "/gate")
        assert gate.entered.acquire(timeout=60)
        assert bridge.stats().running == 1
        status, headers, body = client.get("/gate")
        gate.open()
        assert first.result(60)[::2] == (200, "through")
    assert (status, headers["Retry-After"]) == (503, "1")
    error = json.loads(body)["error"]
    assert (error["code"], error["retryable"]) == ("saturated", True)
    assert (bridge.stats().running, bridge.stats().refused) == (0, 1)


def signed_in(view):
    """A decorator that knows nothing of coroutines, as most that apps have."""

    @functools.wraps(view)
    def checked(*args, **kwargs):
        return view(*args, **kwargs)

    return checked


@pytest.mark.parametrize("decorate", [async_route, lambda view: async_route(signed_in(view))])
def test_a_view_under_async_route_is_limited_by_the_apps_bridge(serve_app, new_app, decorate):
    app = new_app()
    bridge = AsyncBridge(app, max_running=1)
    gate = Gate(app)

    @app.get("/decorated")
    @decorate
    async def decorated():
        stats = bridge.stats()
        return {"running": stats.running, "waiting": stats.waiting}

    client = serve_app(app)
    with ThreadPoolExecutor(1) as user:
        first = user.submit(client.get, "/gate")
        assert gate.entered.acquire(timeout=60)
        status, headers, _ = client.get("/decorated")
        gate.open()
        assert first.result(60)[0] == 200
    assert (status, headers["Retry-After"]) == (503, "1")
    status, _, body = client.get("/decorated")
    assert (status, json.loads(body)) == (200, {"running": 1, "waiting": 0})
    assert bridge.stats().running == 0


def test_what_a_view_calls_in_turn_needs_no_second_place(new_app):
    """With one place and nobody who may wait, a second one would be refused."""
    app = new_app()
    AsyncBridge(app, max_running=1)

    @async_route
    async def inner():
        await asyncio.sleep(0)
        return "inner"

    @app.get("/async")
    async def outer():
        return await offload(inner)

    @app.get("/decorated")
    @async_route
    async def decorated():
        return await offload(inner)

    @app.get("/plain")
    def plain():
        return inner() + inner()

    client = app.test_client()
    answers = [client.get(path).text for path in ("/async", "/decorated", "/plain")]
    assert answers == ["inner", "inner", "innerinner"]


def test_hooks_and_apps_without_limits_ask_nobody_for_a_place(new_app):
    app = new_app()
    bridge = AsyncBridge(app, max_running=1)
    alone = new_app()
    AsyncBridge(alone)
    for each in (app, alone):

        @each.before_request
        @async_route
        async def hook():
            flask.g.hooked = True

        @each.get("/plain")
        def plain():
            return str(flask.g.hooked)

    with bridge._admission.place_blocking():
        assert app.test_client().get("/plain").text == "True"
        assert alone.test_client().get("/plain").text == "True"
    assert bridge.stats().refused == 0


def test_the_bridges_deadline_holds_for_a_view_under_async_route_too(new_app):
    app = new_app()
    AsyncBridge(app, timeout_s=0.02)

    @app.get("/")
    @async_route
    async def slow():
        await asyncio.Event().wait()

    response = app.test_client().get("/")
    assert response.status_code == 504
    assert response.json["error"]["code"] == "deadline_exceeded"


def test_the_functions_around_a_view_take_no_place_so_that_what_began_is_finished(
    serve_app, new_app
):
    app = new_app()
    AsyncBridge(app, max_running=1)
    gate = Gate(app)
    torn_down = []

    @app.get("/plain")
    def plain():
        return "plain"

    @app.before_request
    async def before():
        flask.g.before = True

    @app.after_request
    async def after(response):
        response.headers["X-After"] = str(flask.g.before)
        return response

    @app.teardown_request
    async def teardown(error):
        torn_down.append(flask.request.path)

    client = serve_app(app)
    with ThreadPoolExecutor(1) as user:
        first = user.submit(client.get, "/gate")
        assert gate.entered.acquire(timeout=60)
        status, headers, body = client.get("/plain")
        gate.open()
        assert first.result(60)[0] == 200
    assert (status, headers["X-After"], body) == (200, "True", "plain")
    assert sorted(torn_down) == ["/gate", "/plain"]


def test_a_missed_deadline_is_answered_with_504_and_the_view_is_cancelled(new_app):
    app = new_app()
    AsyncBridge(app, timeout_s=0.02)
    begun, cancelled = threading.Event(), threading.Event()

    @app.get("/")
    async def slow():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    response = app.test_client().get("/")
    assert response.status_code == 504
    assert response.json["error"]["code"] == "deadline_exceeded"
    assert not begun.is_set() or cancelled.wait(60)


def test_the_deadline_counts_from_the_wait_for_a_place(serve_app, monkeypatch, new_app):
    app = new_app()
    bridge = AsyncBridge(app, max_running=1, max_waiting=1, timeout_s=0.05)
    begun = []

    @app.get("/")
    async def view():
        begun.append(1)
        return ""

    with bridge._admission.place_blocking():
        response = app.test_client().get("/")
    assert (response.status_code, begun) == (503, [])
    assert response.json["error"]["code"] == "saturated"

    # The clock of a place that took three hundredths of a second to get; the bridge's alone, since
    # the watchdog reads the common one at any moment.
    times = iter([100.0, 100.03])
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr("xwe.core.concurrency.bridge.time", clock)
    monkeypatch.setattr(
        "xwe.core.concurrency.bridge._run_in_context",
        lambda coro, timeout_s: (coro.close(), str(round(timeout_s, 3)))[1],
    )
    assert app.test_client().get("/").text == "0.02"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_apps_own_handlers_win(when, new_app):
    app = new_app()

    def register():
        app.register_error_handler(SaturatedError, lambda error: ("mine", 429))
        app.register_error_handler(DeadlineExceededError, lambda error: ("mine", 408))

    if when == "before":
        register()
    AsyncBridge().init_app(app)
    if when == "after":
        register()

    @app.get("/<kind>")
    async def fail(kind):
        raise SaturatedError if kind == "saturated" else DeadlineExceededError

    statuses = [app.test_client().get(path).status_code for path in ("/saturated", "/late")]
    assert statuses == [429, 408]
    assert app.extensions["xwe-bridge"].stats() is None
