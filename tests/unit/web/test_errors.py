"""The error table: each class has its row, and no row tells more than it should."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from xwe import errors
from xwe.bootstrap import Services, build_services
from xwe.errors import XweError
from xwe.settings import load_settings
from xwe.web import create_app
from xwe.web.application import Application
from xwe.web.errors import STATUS_BY_ERROR, status_of
from xwe.web.identity import RequestCredentials

SETTINGS = load_settings({"LLM_PROVIDER": "mock", "LLM_BASE_URL": "http://127.0.0.1:9/v1"})


def tree(cls: type[XweError]) -> Iterator[type[XweError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from tree(child)


ERRORS = [cls for cls in tree(XweError) if cls.__module__ == errors.__name__]


def instance(cls: type[XweError]) -> XweError:
    if cls is errors.SettingsError:
        return cls("LLM_ASYNC_TIMEOUT", "canary", "a number")
    if cls is errors.StreamGapError:
        return cls(after=1, first=5, last=9)
    return cls()


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.chdir(tmp_path)  # no other process opens the database there
    services = build_services(SETTINGS)
    yield services
    services.close()


@pytest.fixture
def app(services: Services) -> Application:
    return create_app(SETTINGS, services)


def raising(app: Application, error: Exception) -> Application:
    @app.get("/api/raise")
    def fail() -> str:
        raise error

    return app


def test_every_error_of_the_tree_has_a_row_of_its_own() -> None:
    assert set(STATUS_BY_ERROR) == set(ERRORS)


def test_an_error_of_a_new_kind_takes_its_parents_row() -> None:
    class NewlyNamedError(errors.CircuitOpenError):
        """Of tomorrow."""

    assert status_of(NewlyNamedError()) == 503


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_is_a_body_of_the_same_shape(app: Application, cls: type[XweError]) -> None:
    response = raising(app, instance(cls)).test_client().get("/api/raise")
    assert response.status_code == STATUS_BY_ERROR[cls]
    assert response.content_type == "application/json"
    assert response.json["error"].keys() == {"code", "message", "retryable"}
    assert response.json["error"]["code"] == cls.code
    assert ("Retry-After" in response.headers) == (response.status_code == 503)


@pytest.mark.parametrize(("wait_s", "header"), [(None, "1"), (0.0, "1"), (2.1, "3"), (30, "30")])
def test_retry_after_is_whole_seconds_rounded_up(
    app: Application, wait_s: float | None, header: str
) -> None:
    error = errors.SaturatedError("full", retry_after_s=wait_s)
    response = raising(app, error).test_client().get("/api/raise")
    assert response.headers["Retry-After"] == header


def test_an_unknown_error_leaks_nothing_and_is_logged_with_its_request(
    app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    client = raising(app, ZeroDivisionError("canary-7f3a")).test_client()
    response = client.get("/api/raise", headers={"X-Request-ID": "abc-1"})
    assert response.status_code == 500
    assert response.json["error"]["code"] == "internal"
    assert "abc-1" in response.json["error"]["message"]
    assert "canary" not in response.text
    (record,) = caplog.records
    assert "abc-1" in record.getMessage()
    assert record.exc_info is not None


def test_a_broken_setting_is_not_shown_to_clients(app: Application) -> None:
    error = instance(errors.SettingsError)
    response = raising(app, error).test_client().get("/api/raise")
    assert "canary" not in response.text
    assert response.json["error"]["code"] == "settings"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/llm/chat", 405, "method_not_allowed"),
    ],
)
def test_the_frameworks_own_refusals_have_the_same_shape(
    app: Application, method: str, path: str, status: int, code: str
) -> None:
    response = app.test_client().open(path, method=method, headers={"Accept": "text/html"})
    assert (response.status_code, response.json["error"]["code"]) == (status, code)
    assert response.json["error"]["retryable"] is False


def test_a_refusal_keeps_the_headers_that_belong_to_it(app: Application) -> None:
    response = app.test_client().get("/api/llm/chat")
    assert "POST" in response.headers["Allow"]


def test_a_person_gets_a_page_and_a_program_gets_json(app: Application) -> None:
    client = app.test_client()
    page = client.get("/nothing", headers={"Accept": "text/html", "Accept-Language": "zh-CN"})
    assert page.status_code == 404
    assert page.content_type == "text/html; charset=utf-8"
    assert re.search(r"<h1>[\u4e00-\u9fff]+", page.text)
    for accept in ("application/json", "*/*", ""):
        assert client.get("/nothing", headers={"Accept": accept}).is_json


BROWSER = {"Accept": "text/html", "Accept-Language": "en"}


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (errors.DatabaseUnavailableError(), 503, "This page is unavailable right now"),
        (ZeroDivisionError("canary-7f3a"), 500, "Something went wrong"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_who_opens_a_page_that_fails_gets_a_page_that_needs_nothing_of_what_is_broken(
    app: Application, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, words: str
) -> None:
    asked = []

    def fail(self: object, accounts: object) -> None:
        asked.append(self)
        raise error

    monkeypatch.setattr(RequestCredentials, "identity", fail)
    for path in ("/", "/login", "/account", "/characters"):
        asked.clear()
        headers = {**BROWSER, "X-Request-ID": "abc-1"}
        response = app.test_client().get(path, headers=headers)
        assert (response.status_code, response.mimetype) == (status, "text/html"), path
        assert words in response.text
        assert "abc-1" in response.text
        assert "canary" not in response.text
        assert len(asked) == 1, path  # not once more for the page that tells of it
    assert app.test_client().get("/", headers={"Accept": "*/*"}).is_json


def test_a_page_that_needs_no_account_is_there_without_a_database(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RequestCredentials, "identity", lambda *_: 1 // 0)
    for path, status in (("/nothing", 404), ("/playground", 200)):
        response = app.test_client().get(path, headers=BROWSER)
        assert (response.status_code, response.mimetype) == (status, "text/html")


def test_a_programs_route_answers_a_browser_in_json_too(app: Application) -> None:
    client = raising(app, errors.SaturatedError("full")).test_client()
    assert client.get("/api/raise", headers=BROWSER).json["error"]["code"] == "saturated"
