"""`async_route` and `AsyncBridge` in real Flask applications, under a real threaded server."""

import asyncio
import contextvars
import json
from concurrent.futures import ThreadPoolExecutor

import flask
import flask.views
import pytest

from xwe.core.concurrency.bridge import AsyncBridge, async_route
from xwe.core.concurrency.loop_thread import get_loop_thread

marker = contextvars.ContextVar("marker", default=None)


def on_resident_loop():
    return asyncio.get_running_loop() is get_loop_thread().loop


# -- what Flask promises a view


@pytest.fixture(params=["async_route", "AsyncBridge", "async_route, kill switch"])
def app(request, monkeypatch, new_app):
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


def test_they_work_under_a_threaded_server(app, serve_app):
    status, headers, body = serve_app(app).get("/all/7?user=bob")
    assert (status, json.loads(body)["user"], headers["X-User"]) == (200, "bob", "bob bob")


def test_hooks_blueprints_classes_and_error_handlers_may_be_asynchronous(app):
    client = app.test_client()
    assert client.get("/price/tea?user=ann").text == "tea: open for ann"
    assert client.get("/class?user=ann").text == f"class: ann {app.expect_resident}"
    failed = client.get("/fail?user=ann")
    assert (failed.status_code, failed.text) == (418, "missing 'tea' for ann")
    assert failed.headers["X-User"] == "ann ann"
    assert app.torn_down == ["ann", "app"] * 3


def test_64_users_at_once_never_see_each_other(app, serve_app):
    client = serve_app(app)

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


def test_a_synchronous_view_passes_through(new_app):
    app = new_app()

    @app.get("/")
    @async_route
    def plain():
        return "plain"

    assert app.test_client().get("/").text == "plain"


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
