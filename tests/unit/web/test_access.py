"""Who may call, asked with nothing but a WSGI environ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.settings import load_settings
from xwe.web.access import (
    FOREIGN_HOST,
    FOREIGN_ORIGIN,
    LOGIN_NEEDED,
    AccessRules,
    is_same_origin,
)

OPEN = AccessRules(login_required=False)
LOGIN = AccessRules(login_required=True, api_token=b"s3cret")
OWN = {"ORIGIN": "http://xwe.test:8000"}


def environ(**headers: str) -> dict[str, str]:
    return {"HTTP_HOST": "xwe.test:8000"} | {f"HTTP_{name}": v for name, v in headers.items()}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"SEC_FETCH_SITE": "same-origin", "COOKIE": "xwe_lang=zh"},
        {"SEC_FETCH_SITE": "none", "COOKIE": "xwe_lang=zh"},
        {"ORIGIN": "http://xwe.test:8000", "COOKIE": "xwe_lang=zh"},
        {"ORIGIN": "http://XWE.test:8000"},
        {"REFERER": "http://xwe.test:8000/some/page?x=1", "COOKIE": "xwe_lang=zh"},
    ],
    ids=str,
)
def test_own_pages_and_programs_may_call(headers: dict[str, str]) -> None:
    assert is_same_origin(environ(**headers))
    assert OPEN.refusal(environ(**headers), calls_model=True) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"COOKIE": "xwe_lang=zh"},
        {"SEC_FETCH_SITE": "cross-site"},
        {"SEC_FETCH_SITE": "same-site"},
        {"SEC_FETCH_SITE": "cross-site", "ORIGIN": "http://xwe.test:8000"},
        {"ORIGIN": "http://evil.test"},
        {"ORIGIN": "http://xwe.test"},
        {"ORIGIN": "http://xwe.test:8000.evil.test"},
        {"ORIGIN": "http://xwe.test:8000@evil.test"},
        {"ORIGIN": "null"},
        {"ORIGIN": "file://"},
        {"ORIGIN": "http://xwe.test:port"},
        {"ORIGIN": "http://[::1"},
        {"REFERER": "https://evil.test/?http://xwe.test:8000"},
    ],
    ids=str,
)
def test_a_foreign_page_may_not_call(headers: dict[str, str]) -> None:
    assert not is_same_origin(environ(**headers))
    assert OPEN.refusal(environ(**headers), calls_model=True) is FOREIGN_ORIGIN
    assert OPEN.refusal(environ(**headers), calls_model=False) is FOREIGN_ORIGIN


def test_behind_a_proxy_that_ends_tls_the_default_port_is_the_schemes() -> None:
    behind = {"HTTP_HOST": "chat.example", "HTTP_ORIGIN": "https://chat.example"}
    assert is_same_origin(behind)
    assert is_same_origin({**behind, "HTTP_HOST": "chat.example:443"})
    assert not is_same_origin({**behind, "HTTP_HOST": "chat.example:80"})


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_origin_or_host_makes_the_check_fail(origin: str, host: str) -> None:
    """Whatever a client writes there, the answer is yes or no."""
    assert is_same_origin({"HTTP_HOST": host, "HTTP_ORIGIN": origin}) in {True, False}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens_a_login_server(scheme: str) -> None:
    headers = environ(AUTHORIZATION=f"{scheme} s3cret")
    assert LOGIN.refusal(headers, calls_model=True) is None


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret"]
)
def test_anything_else_does_not(header: str) -> None:
    headers = environ(AUTHORIZATION=header)
    assert LOGIN.refusal(headers, calls_model=True) is LOGIN_NEEDED


def test_a_token_with_other_characters_is_refused_not_an_error() -> None:
    headers = environ(AUTHORIZATION="Bearer s3cr\u00e9t\u20ac")
    assert LOGIN.refusal(headers, calls_model=True) is LOGIN_NEEDED


def test_without_a_token_of_the_server_none_opens_it() -> None:
    rules = AccessRules(login_required=True)
    for headers in (environ(), environ(AUTHORIZATION="Bearer "), environ(AUTHORIZATION="Bearer x")):
        assert rules.refusal(headers, calls_model=True) is LOGIN_NEEDED


def test_whoever_is_signed_in_may_use_a_login_server_from_our_own_pages_only() -> None:
    own = environ(ORIGIN="http://xwe.test:8000", COOKIE="xwe_session=s")
    foreign = environ(ORIGIN="https://evil.test", COOKIE="xwe_session=s")
    assert LOGIN.refusal(own, calls_model=True, is_signed_in=lambda: True) is None
    assert LOGIN.refusal(own, calls_model=True, is_signed_in=lambda: False) is LOGIN_NEEDED
    assert LOGIN.refusal(foreign, calls_model=True, is_signed_in=lambda: True) is FOREIGN_ORIGIN


def test_who_calls_is_not_asked_where_it_does_not_matter() -> None:
    def ask() -> bool:
        raise AssertionError

    assert OPEN.refusal(environ(COOKIE="a=b", **OWN), calls_model=True, is_signed_in=ask) is None
    assert LOGIN.refusal(environ(**OWN), calls_model=False, is_signed_in=ask) is None


def test_the_token_also_answers_for_a_call_from_elsewhere() -> None:
    """A browser cannot be made to send it: it would have to ask first, and is told no."""
    headers = environ(AUTHORIZATION="Bearer s3cret", ORIGIN="https://dashboard.example")
    assert LOGIN.refusal(headers, calls_model=True) is None


def test_a_page_without_model_calls_needs_no_token() -> None:
    assert LOGIN.refusal(environ(), calls_model=False) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:8000", None),
        ("127.0.0.1:8000", None),
        ("[::1]:8000", None),
        ("rebound.evil.test:8000", FOREIGN_HOST),
        ("localhost.evil.test", FOREIGN_HOST),
        ("", FOREIGN_HOST),
        ("[::1", FOREIGN_HOST),
    ],
)
def test_an_open_real_model_answers_to_loopback_names_only(host: str, expected: object) -> None:
    """A foreign name that points at this machine is of one origin with itself."""
    rules = AccessRules.of(load_settings({"DEEPSEEK_API_KEY": "k", "XWE_ACCESS": "open"}))
    asked = {"HTTP_HOST": host, "HTTP_ORIGIN": f"http://{host}"} if host else {"HTTP_HOST": host}
    refusal = rules.refusal(asked, calls_model=True)
    assert refusal is expected or refusal is FOREIGN_ORIGIN


def test_the_rules_follow_the_settings() -> None:
    assert AccessRules.of(load_settings({})) == AccessRules(login_required=False)
    real = {"DEEPSEEK_API_KEY": "k", "XWE_API_TOKEN": "t0ken"}
    assert AccessRules.of(load_settings(real)) == AccessRules(
        login_required=True, api_token=b"t0ken"
    )
