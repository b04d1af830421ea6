"""The plain text page: GET /chat, read with fetch, whole characters only."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

POEM = "雾从江心慢慢起身，😀 桥把两岸轻轻缝合。"


@pytest.fixture
def page(open_page: Callable[..., Page], app_server: Any, mock_server: MockServer) -> Page:
    return open_page(f"{app_server.url}/stream")


@pytest.mark.parametrize("write_bytes", [1, 5])
def test_characters_stay_whole_however_the_wire_cuts_them(
    page: Page, mock_server: MockServer, write_bytes: int
) -> None:
    mock_server.script(Behaviour(text=POEM, write_bytes=write_bytes))
    page.click("#read")
    expect(page.locator("#figures")).to_contain_text("个字符")
    expect(page.locator("#plain")).to_have_text(POEM)
    assert page.problems == []


def test_half_a_character_waits_for_its_other_half(
    open_page: Callable[..., Page],
    relay: Callable[..., Any],
    app_server: Any,
    mock_server: MockServer,
) -> None:
    """The wire stops in the middle of a character until the page has shown the one before it."""
    mock_server.script(Behaviour(text="雾从江心"))
    wire = relay(app_server.url, stop_within="从")
    page = open_page(f"{wire.url}/stream")
    page.fill("#prompt", "写诗")
    page.press("#prompt", "Enter")
    expect(page.locator("#plain")).to_have_text("雾")
    wire.go_on()
    expect(page.locator("#figures")).to_contain_text("12 字节")
    expect(page.locator("#plain")).to_have_text("雾从江心")


def test_stop_closes_the_connection_and_with_it_the_model(
    page: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=POEM, fault="stall", after_pieces=3))
    page.click("#read")
    expect(page.locator("#plain")).not_to_be_empty()
    page.click("#stop")
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    expect(page.locator("#figures")).to_contain_text("已停止")
    assert POEM.startswith(page.locator("#plain").inner_text())


def test_a_broken_answer_is_said_to_be_broken(page: Page, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text=POEM, fault="close", after_pieces=6, tokens_per_s=40))
    page.click("#read")
    expect(page.locator(".trouble-title")).to_have_text("回答中断了")
    page.click(".trouble [data-do=retry]")
    expect(page.locator("#figures")).to_contain_text("个字符")
    expect(page.locator(".trouble")).to_have_count(0)


def test_a_question_that_no_address_has_room_for_is_told_to_be_too_long(
    open_page: Callable[..., Page], app_server: Any, mock_server: MockServer
) -> None:
    page = open_page(f"{app_server.url}/stream", locale="en-GB")
    page.fill("#prompt", "问" * 20_000)
    page.click("#read")
    expect(page.locator(".trouble-title")).to_have_text("That is too long")
    assert mock_server.requests == []
