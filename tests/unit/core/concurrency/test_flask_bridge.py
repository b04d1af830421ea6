"""`async_route` and `AsyncBridge` in real Flask applications, under a real threaded WSGI server."""

import asyncio
import contextvars
import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import flask
import flask.views
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from xwe.core.concurrency.bridge import AsyncBridge, async_route
from xwe.core.concurrency.executor import offload
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DeadlineExceededError, SaturatedError

marker = contextvars.ContextVar("marker", default=None)


def new_app():
    app = flask.Flask(__name__)
    app.secret_key = "not a secret"
    return app


def on_resident_loop():
    return asyncio.get_running_loop() is get_loop_thread().loop


class QuietHandler(WSGIRequestHandler):
    def log(self, *_):
        pass


class Client:
    """Speaks HTTP to an application that a threaded server runs on loopback."""

    def __init__(self, port):
        self._port = port

    def open(self, path, **headers):
        """The connection and the response, its body unread."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        connection.request("GET", path, headers=headers)
        return connection, connection.getresponse()

    def get(self, path, **headers):
        connection, response = self.open(path, **headers)
        body = response.read().decode()
        connection.close()
        return response.status, dict(response.headers), body


@pytest.fixture
def serve():
    """Runs applications under a threaded WSGI server; they have ended when the test has."""
    servers = []

    def start(app):
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
        server.daemon_threads = False
        runner = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        runner.start()
        servers.append((server, runner))
        return Client(server.port)

    yield start
    for server, runner in servers:
        server.shutdown()
        runner.join()
        server.server_close()


# -- what Flask promises a view


@pytest.fixture(params=["async_route", "AsyncBridge", "async_route, kill switch"])
def app(request, monkeypatch):
    """An application with `async def` functions in every place that Flask has for them."""
    app = new_app()
    route = async_route
    if request.param == "AsyncBridge":
        AsyncBridge(app)

        def route(view):
            return view

    app.expect_resident = "kill switch" not in request.param
    if not app.expect_resident:
        monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    add_views(app, route)
    add_blueprint(app, route)
    add_hooks(app, route)
    return app


def add_views(app, route):
    @app.get("/all/<int:number>")
    @route
    async def everything(number):
        assert on_resident_loop() is app.expect_resident
        await asyncio.sleep(0)
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return {
            "number": number,
            "user": flask.g.user,
            "marker": marker.get(),
            "visits": flask.session["visits"],
            "url": flask.url_for("shop.price", thing="tea"),
            "endpoint": flask.request.endpoint,
        }

    class Counter(flask.views.MethodView):
        @route
        async def get(self):
            return f"class: {flask.request.args['user']} {on_resident_loop()}"

    app.add_url_rule("/class", view_func=Counter.as_view("counter"))

    @app.get("/fail")
    @route
    async def fail():
        raise KeyError("tea")

    @app.errorhandler(KeyError)
    @route
    async def missing(error):
        await asyncio.sleep(0)
        return f"missing {error} for {flask.g.user}", 418


def add_blueprint(app, route):
    shop = flask.Blueprint("shop", __name__)

    @shop.before_request
    @route
    async def stamp():
        flask.g.shop = "open"

    @shop.get("/price/<thing>")
    @route
    async def price(thing):
        return f"{thing}: {flask.g.shop} for {flask.g.user}"

    app.register_blueprint(shop)


def add_hooks(app, route):
    app.torn_down = []

    @app.before_request
    @route
    async def greet():
        await asyncio.sleep(0)
        flask.g.user = flask.request.args.get("user")
        marker.set(flask.g.user)

    @app.after_request
    @route
    async def sign(response):
        response.headers["X-User"] = f"{flask.g.user} {marker.get()}"
        return response

    @app.teardown_request
    @route
    async def note(error):
        await asyncio.sleep(0)
        app.torn_down.append(flask.g.user)

    @app.teardown_appcontext
    @route
    async def note_too(error):
        app.torn_down.append("app")


def test_request_g_session_and_url_for_work_inside(app):
    client = app.test_client()
    client.get("/all/7?user=ann")
    assert client.get("/all/7?user=ann").json == {
        "number": 7,
        "user": "ann",
        "marker": "ann",
        "visits": 2,
        "url": "/price/tea",
        "endpoint": "everything",
    }


def test_they_work_under_a_threaded_server(app, serve):
    status, headers, body = serve(app).get("/all/7?user=bob")
    assert (status, json.loads(body)["user"], headers["X-User"]) == (200, "bob", "bob bob")


def test_hooks_blueprints_classes_and_error_handlers_may_be_asynchronous(app):
    client = app.test_client()
    assert client.get("/price/tea?user=ann").text == "tea: open for ann"
    assert client.get("/class?user=ann").text == f"class: ann {app.expect_resident}"
    failed = client.get("/fail?user=ann")
    assert (failed.status_code, failed.text) == (418, "missing 'tea' for ann")
    assert failed.headers["X-User"] == "ann ann"
    assert app.torn_down == ["ann", "app"] * 3


def test_64_users_at_once_never_see_each_other(app, serve):
    client = serve(app)

    def visit(number):
        _, headers, body = client.get(f"/all/{number}?user=user{number}")
        seen = json.loads(body)
        return {seen["number"]} == {number}, {
            seen["user"],
            seen["marker"],
            *headers["X-User"].split(),
        }

    with ThreadPoolExecutor(64) as users:
        answers = list(users.map(visit, range(64)))
    assert answers == [(True, {f"user{number}"}) for number in range(64)]


@pytest.mark.parametrize("app", ["async_route", "AsyncBridge"], indirect=True)
def test_no_loop_is_made_for_a_request(app, monkeypatch):
    get_loop_thread().loop  # noqa: B018 - the one that there is
    made = []
    for module in ("asyncio", "asyncio.events", "asyncio.runners", "uvloop"):
        monkeypatch.setattr(f"{module}.new_event_loop", lambda: made.append(1), raising=False)
    client = app.test_client()
    for _ in range(20):
        assert client.get("/all/7?user=ann").status_code == 200
    assert made == []


def test_a_synchronous_view_passes_through():
    app = new_app()

    @app.get("/")
    @async_route
    def plain():
        return "plain"

    assert app.test_client().get("/").text == "plain"


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
def streaming(request, monkeypatch):
    """An application whose views stream; the kill switch is thrown in half of the tests."""
    monkeypatch.setenv("LLM_ASYNC_ENABLED", request.param)
    app = new_app()
    AsyncBridge(app)
    app.go_on, app.closed = threading.Event(), threading.Event()
    app.source = Source()

    async def pieces(name):
        try:
            yield f"first for {name}\n"
            await offload(app.go_on.wait, 20)
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
def test_an_async_generator_is_streamed_piece_by_piece_and_sees_the_request(streaming, serve, path):
    connection, response = serve(streaming).open(f"{path}?user=ann")
    assert response.readline() == b"first for ann\n"
    streaming.go_on.set()
    assert response.read().decode() == "第二 for ann\n"
    connection.close()
    assert streaming.closed.wait(20)


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
        await offload(self._leave.wait, 20)
        return "through"

    def open(self):
        self._leave.set()


def test_overload_is_answered_with_503_and_retry_after(serve):
    app = new_app()
    bridge = AsyncBridge(app, max_running=1)
    gate = Gate(app)
    client = serve(app)
    with ThreadPoolExecutor(1) as user:
        first = user.submit(client.get, "/gate")
        assert gate.entered.acquire(timeout=20)
        assert bridge.stats().running == 1
        status, headers, body = client.get("/gate")
        gate.open()
        assert first.result(20)[::2] == (200, "through")
    assert (status, headers["Retry-After"]) == (503, "1")
    error = json.loads(body)["error"]
    assert (error["code"], error["retryable"]) == ("saturated", True)
    assert (bridge.stats().running, bridge.stats().refused) == (0, 1)


def test_the_functions_around_a_view_take_no_place_so_that_what_began_is_finished(serve):
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

    client = serve(app)
    with ThreadPoolExecutor(1) as user:
        first = user.submit(client.get, "/gate")
        assert gate.entered.acquire(timeout=20)
        status, headers, body = client.get("/plain")
        gate.open()
        assert first.result(20)[0] == 200
    assert (status, headers["X-After"], body) == (200, "True", "plain")
    assert sorted(torn_down) == ["/gate", "/plain"]


def test_a_missed_deadline_is_answered_with_504_and_the_view_is_cancelled():
    app = new_app()
    AsyncBridge(app, timeout_s=0.02)
    cancelled = threading.Event()

    @app.get("/")
    async def slow():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    response = app.test_client().get("/")
    assert response.status_code == 504
    assert response.json["error"]["code"] == "deadline_exceeded"
    assert cancelled.wait(20)


def test_the_deadline_counts_from_the_wait_for_a_place(serve, monkeypatch):
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

    # The clock of a place that took three hundredths of a second to get.
    times = iter([100.0, 100.03])
    monkeypatch.setattr("xwe.core.concurrency.bridge.time.monotonic", lambda: next(times, 100.03))
    monkeypatch.setattr(
        "xwe.core.concurrency.bridge._run_in_context",
        lambda coro, timeout_s: (coro.close(), str(round(timeout_s, 3)))[1],
    )
    assert app.test_client().get("/").text == "0.02"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_apps_own_handlers_win(when):
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


def test_importing_the_bridge_pulls_in_no_framework_no_database_and_no_client(
    in_fresh_interpreter,
):
    printed = in_fresh_interpreter(
        """
        import sys
        import xwe.core.concurrency.bridge
        foreign = "flask werkzeug gunicorn sqlalchemy openai requests aiohttp xwe.web xwe.core.nlp"
        print(*[name for name in foreign.split() if name in sys.modules], "none else")
        """
    )
    assert printed == ["none", "else"]
