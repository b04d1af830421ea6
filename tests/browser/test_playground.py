"""The playground measures, and shows what it has measured."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

LATENCY_S = 0.2


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
    assert at_once_s < in_turn_s
    expect(page.locator("#verdict")).to_contain_text("10 users")
    expect(page.locator("#verdict")).to_contain_text(f"{at_once_s:.2f} s")
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
    expect(page.locator(".trouble-title")).to_have_text("The model's provider refused the key")
    page.click(".trouble [data-do=retry]")
    expect(page.locator("#verdict")).to_contain_text("2 users")
    expect(page.locator(".trouble")).to_have_count(0)
