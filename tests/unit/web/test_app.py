"""The application as a whole, without a server and without a model."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from xwe.bootstrap import Services, build_services
from xwe.core.nlp.observation import request_id
from xwe.settings import load_settings
from xwe.web import create_app
from xwe.web.application import Application

NOWHERE = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
MODEL_ROUTES = [
    ("POST", "/api/llm/chat"),
    ("POST", "/api/llm/conversation"),
    ("POST", "/api/llm/batch"),
    ("POST", "/api/llm/stream"),
    ("POST", "/api/agent/stream"),
    ("POST", "/chat"),
    ("GET", "/chat?prompt=hi"),
]

# These ask it too, for those who are signed in.
LOGIN_MODEL_ROUTES = {
    "/api/characters",
    "/api/characters/<role>/categories/<path:name>/retry",
    "/api/characters/<role>/complete",
    "/api/chat/<role>/messages",
    "/api/chat/<role>/messages/<int:message_id>/regenerate",
    "/api/chat/<role>/stream",
    "/api/tasks/<task_id>/retry",
}

# Only for those who may call the model, and also answered during the drain.
PROTECTED_ROUTES = {
    "/api/agent/tools",
    "/api/generations/<stream_id>/events",
    "/api/generations/<stream_id>/stop",
    "/api/llm/status",
    "/metrics",
}


class Prompt:
    """In the place of the loop's thread: on a busy machine the real one may be late."""

    lag_s = 0.0


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with a database that no other process opens, and a loop that is not late."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xwe.web.routes.health.get_loop_thread", Prompt)


@pytest.fixture
def services() -> Iterator[Services]:
    services = build_services(load_settings(NOWHERE))
    yield services
    services.close()


@pytest.fixture
def app(services: Services) -> Application:
    return create_app(services=services)


@pytest.fixture
def client(app: Application) -> FlaskClient:
    return app.test_client()


def test_the_factory_takes_settings_or_services_or_the_environment(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create_app(services=services).settings is services.settings
    settings = load_settings(NOWHERE)
    assert create_app(settings).services.settings is settings
    monkeypatch.setenv("LLM_MODEL", "from-the-environment")
    assert create_app().settings.provider.model == "from-the-environment"


def test_every_route_that_calls_the_model_is_marked(app: Application) -> None:
    rules = list(app.url_map.iter_rules())
    asking = {rule.rule for rule in rules if rule.endpoint in app.model_endpoints}
    protected = {rule.rule for rule in rules if rule.endpoint in app.protected_endpoints}
    open_to_all = {path.partition("?")[0] for _, path in MODEL_ROUTES} | {"/ws"}
    assert asking == open_to_all | LOGIN_MODEL_ROUTES
    assert protected == asking | PROTECTED_ROUTES


@pytest.mark.parametrize(("method", "path"), MODEL_ROUTES)
def test_a_foreign_page_gets_nothing_from_the_model(
    client: FlaskClient, method: str, path: str
) -> None:
    response = client.open(path, method=method, headers={"Origin": "https://evil.test"})
    assert (response.status_code, response.json["error"]["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize(("method", "path"), MODEL_ROUTES)
def test_a_draining_server_refuses_new_questions_only(
    app: Application, client: FlaskClient, method: str, path: str
) -> None:
    app.begin_drain()
    response = client.open(path, method=method)
    assert (response.status_code, response.json["error"]["code"]) == (503, "draining")
    assert int(response.headers["Retry-After"]) > 0
    assert client.get("/health/live").status_code == 200
    assert client.get("/").status_code == 200
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["reasons"]) == (503, ["draining"])


def test_a_login_server_says_what_to_send() -> None:
    settings = load_settings(NOWHERE | {"XWE_ACCESS": "login", "XWE_API_TOKEN": "t0ken"})
    services = build_services(settings)
    client = create_app(settings, services).test_client()
    response = client.get("/chat?prompt=hi")
    services.close()
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "XWE_API_TOKEN" in response.json["error"]["message"]


def test_health_needs_no_model(client: FlaskClient) -> None:
    assert client.get("/health").json == {"status": "ok"}
    assert client.get("/health/live").json == {"status": "live"}
    assert client.get("/health/ready").json == {"status": "ready"}


def test_a_blocked_loop_is_not_ready(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blocked:
        lag_s = 5.0

    monkeypatch.setattr("xwe.web.routes.health.get_loop_thread", Blocked)
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["reasons"]) == (503, ["loop_blocked"])


def test_a_sane_request_id_is_kept_and_reaches_the_context(app: Application) -> None:
    seen = []
    app.add_url_rule("/seen", view_func=lambda: seen.append(request_id.get()) or "")
    response = app.test_client().get("/seen", headers={"X-Request-ID": "gateway-17.a_b"})
    assert response.headers["X-Request-ID"] == "gateway-17.a_b"
    assert seen == ["gateway-17.a_b"]


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a;b", "<script>", "名"])
def test_any_other_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    response = client.get("/health", headers={"X-Request-ID": given.encode().decode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-ID"])


@pytest.mark.parametrize("path", ["/", "/health", "/nothing", "/static/css/tokens.css"])
def test_every_response_is_protected(client: FlaskClient, path: str) -> None:
    with client.get(path, headers={"Accept": "text/html"}) as response:
        headers = response.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_page_has_no_inline_script_or_style(client: FlaskClient) -> None:
    """The policy would drop them, and a page that needs them would break."""
    page = client.get("/").text
    assert not re.search(r"<style|\son\w+=|\sstyle=", page)
    for attributes in re.findall(r"<script([^>]*)>", page):
        assert "src=" in attributes or 'type="application/json"' in attributes


def test_a_language_once_chosen_is_remembered(client: FlaskClient) -> None:
    assert 'lang="zh-CN"' in client.get("/?lang=zh").text
    assert 'lang="zh-CN"' in client.get("/", headers={"Accept-Language": "en"}).text


@pytest.mark.parametrize(
    ("environ", "is_demo"),
    [(NOWHERE, True), ({"DEEPSEEK_API_KEY": "canary-7f3a"}, False)],
)
def test_the_page_says_whether_a_real_model_answers(
    environ: dict[str, str],
    is_demo: bool,
) -> None:
    services = build_services(load_settings(environ))
    page = create_app(services=services).test_client().get("/").text
    services.close()
    assert ("demo model answers from templates" in page) == is_demo
    assert "canary" not in page


def test_head_knows_the_streams_headers_without_the_model(client: FlaskClient) -> None:
    response = client.head("/chat?prompt=hi")
    assert (response.status_code, response.content_type) == (200, "text/plain; charset=utf-8")
