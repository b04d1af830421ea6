"""The playground measures, and shows what it has measured."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

LATENCY_S = 0.2

# What the server may say of three that were asked at once.
TOLD = {
    "results": [
        {"ok": True, "response": "hello"},
        {
            "ok": False,
            "error": {"code": "provider_auth", "message": "no", "retryable": False},
        },
        {"ok": True, "response": "hello"},
    ],
    "durations": [0.5, 0.6, 2.5],
    "total_duration": 2.5,
}


@pytest.fixture(scope="module")
def model() -> Iterator[MockServer]:
    with MockServer(Behaviour(latency_s=LATENCY_S)) as server:
        yield server


@pytest.fixture(scope="module")
def slow_server(serve: Callable[..., Any], model: MockServer) -> Any:
    return serve(LLM_BASE_URL=model.base_url)


@pytest.fixture
def page(open_page: Callable[..., Page], slow_server: Any, model: MockServer) -> Page:
    model.reset()
    return open_page(f"{slow_server.url}/playground", locale="en-GB")


def measured_s(page: Page, card: str) -> float:
    return float(page.locator(f"#{card} .runners-seconds").inner_text())


def test_ten_at_once_beat_ten_one_after_another(page: Page, model: MockServer) -> None:
    page.click("#run")
    expect(page.locator("#figures")).to_be_visible()
    at_once_s, in_turn_s = measured_s(page, "at_once"), measured_s(page, "in_turn")
    assert at_once_s >= LATENCY_S
    assert in_turn_s >= 10 * LATENCY_S
    expect(page.locator("#verdict")).to_contain_text("10 users")
    at_once = page.locator("#at_once .runners-seconds").inner_text()
    expect(page.locator("#verdict")).to_contain_text(f" {at_once} s")
    warm_up = 1
    assert len(model.requests) == warm_up + 2 * 10
    assert page.problems == []


def test_the_figures_are_there_as_a_table(page: Page) -> None:
    page.locator("#users").fill("3")
    page.click("#run")
    page.locator("#figures summary").click()
    rows = page.locator("#figures tbody tr")
    expect(rows).to_have_count(3)
    for text in rows.locator("td").all_inner_texts():
        assert re.fullmatch(r"[\d.]+ – [\d.]+ s", text)


def test_those_who_wait_in_turn_can_be_stopped(page: Page, model: MockServer) -> None:
    at_once = [Behaviour(latency_s=LATENCY_S)] * 21  # and one that is not counted
    model.script(*at_once, *[Behaviour(latency_s=3)] * 20)
    page.locator("#users").fill("20")
    page.click("#run")
    expect(page.locator("#at_once")).to_have_attribute("data-state", "done")
    page.click("#stop")
    expect(page.locator("#in_turn")).to_have_attribute("data-state", "partial")
    expect(page.locator("#verdict")).to_contain_text("Stopped: 20 users at once took")
    expect(page.locator("#run")).to_be_focused()
    assert len(model.requests) < 40


def test_an_error_is_shown_with_its_cause_and_a_retry(page: Page, model: MockServer) -> None:
    model.script(Behaviour(fault="status", status=401))
    page.locator("#users").fill("2")
    page.click("#run")
    expect(page.locator(".trouble-title")).to_have_text("The model provider rejected the key")
    page.click(".trouble [data-do=retry]")
    # "2 users" is said while they are measured, too.
    expect(page.locator("#verdict")).to_have_attribute("data-state", "measured")
    expect(page.locator("#verdict")).to_contain_text("2 users got their answers")
    expect(page.locator(".trouble")).to_have_count(0)


def test_who_is_signed_in_measures_where_only_they_may_ask(
    open_page: Callable[..., Page], serve: Callable[..., Any], model: MockServer
) -> None:
    """Each user is still a model call of their own, and the limits are the signed-in one's."""
    model.reset()
    server = serve(LLM_BASE_URL=model.base_url, XWE_ACCESS="login", XWE_USER_RPM="60")
    page = open_page(f"{server.url}/login", locale="en-GB")
    reply = page.context.request.post(
        f"{server.url}/auth/register",
        data={"username": "racer", "password": "a long password"},
        headers={"Origin": server.url},
    )
    assert reply.ok, reply.text()
    page.goto(f"{server.url}/playground")
    page.click("#run")
    expect(page.locator("#figures")).to_be_visible()
    expect(page.locator("#at_once .runners-count")).to_contain_text("10 of 10 answered")
    expect(page.locator("#in_turn .runners-count")).to_contain_text("10 of 10 answered")
    expect(page.locator("#verdict")).to_have_attribute("data-state", "measured")
    assert len(model.requests) == 1 + 2 * 10
    assert page.problems == []


def test_each_of_those_who_ask_at_once_has_a_time_of_their_own(
    page: Page, model: MockServer
) -> None:
    """Two are answered and one is refused, at three different moments."""
    page.locator("#users").fill("3")
    page.route("**/api/llm/batch", lambda route: route.fulfill(json=TOLD))
    page.click("#run")
    page.locator("#figures summary").click()
    cells = page.locator("#figures tbody tr > td:nth-child(2)")
    expect(cells.nth(1)).to_have_text("failed")
    quick, slow = (
        float(cells.nth(row).inner_text().partition("–")[2].split()[0]) for row in (0, 2)
    )
    # As the server told; from ten seconds on, each is written with one digit.
    assert slow - quick == pytest.approx(2.0, abs=0.11)
    expect(page.locator("#at_once .runners-count")).to_contain_text("1 failed")
