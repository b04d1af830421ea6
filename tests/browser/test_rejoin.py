"""An answer outlives the connection and the page that it was asked on."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

POEM = "雾从江心慢慢起身，桥把两岸轻轻缝合。"
BEFORE, HELD = POEM.partition("缝")[:2]


@pytest.fixture
def wire(relay: Callable[..., Any], app_server: Any, mock_server: MockServer) -> Any:
    """Holds every answer within one character of the poem."""
    mock_server.script(Behaviour(text=POEM))
    return relay(app_server.url, stop_within=HELD)


@pytest.fixture
def page(open_page: Callable[..., Page], wire: Any) -> Page:
    page = open_page(wire.url)
    page.fill("#prompt", "写诗")
    page.press("#prompt", "Enter")
    expect(page.locator(".prose")).to_have_text(BEFORE)
    return page


def rejoining(request: Request) -> bool:
    return re.search(r"/api/generations/[\w-]+/events$", request.url) is not None


def assert_whole(page: Page, mock_server: MockServer) -> None:
    expect(page.locator(".answer")).to_have_attribute("data-state", "complete")
    expect(page.locator(".prose")).to_have_text(POEM)
    expect(page.locator(".question-text")).to_have_text("写诗")
    expect(page.locator(".reconnecting")).to_be_hidden()
    assert len(mock_server.requests) == 1


def test_a_reload_in_mid_answer_goes_on_where_it_was(
    page: Page, wire: Any, mock_server: MockServer
) -> None:
    with page.expect_request(rejoining) as rejoined:
        page.reload()
        expect(page.locator(".prose")).to_have_text(BEFORE)
        expect(page.locator("#stop")).to_be_visible()
    assert int(rejoined.value.headers["last-event-id"]) > 3
    wire.go_on()
    assert_whole(page, mock_server)
    assert page.problems == []


def test_a_dropped_network_is_rejoined_and_nothing_is_missed(
    page: Page, wire: Any, mock_server: MockServer
) -> None:
    wire.cut()
    expect(page.locator(".reconnecting")).to_be_visible()
    expect(page.locator("#status")).to_have_text("连接断开，正在重新连接。")
    expect(page.locator(".trouble")).to_have_count(0)
    wire.mend()
    wire.go_on()
    assert_whole(page, mock_server)


def test_a_reload_without_a_network_waits_for_it(
    page: Page, wire: Any, mock_server: MockServer
) -> None:
    """The page itself comes from the browser's memory of it, as with a phone that wakes up."""
    page.route(lambda url: "/api/generations/" in url, lambda route: route.abort())
    page.reload()
    expect(page.locator(".reconnecting")).to_be_visible()
    page.unroute_all()
    wire.go_on()
    assert_whole(page, mock_server)


def test_stop_while_the_network_is_gone_keeps_the_partial_text(page: Page, wire: Any) -> None:
    wire.cut()
    expect(page.locator(".reconnecting")).to_be_visible()
    page.click("#stop")
    expect(page.locator(".answer")).to_have_attribute("data-state", "stopped")
    expect(page.locator(".prose")).to_have_text(BEFORE)
    wire.go_on()


def test_an_answer_that_the_server_has_forgotten_says_so_and_can_be_asked_again(
    page: Page, wire: Any, mock_server: MockServer
) -> None:
    page.goto(f"{wire.url}/stream")
    page.evaluate(
        """() => {
          const saved = JSON.parse(sessionStorage.getItem("xwe.conversation"));
          saved.live.id = "forgotten";
          sessionStorage.setItem("xwe.conversation", JSON.stringify(saved));
        }"""
    )
    page.goto(wire.url)
    expect(page.locator(".answer")).to_have_attribute("data-state", "interrupted")
    expect(page.locator(".prose")).to_have_text(BEFORE)
    expect(page.locator(".trouble-title")).to_have_text("这个回答已不再保留")
    wire.go_on()
    page.click(".trouble [data-do=retry]")
    expect(page.locator(".answer")).to_have_attribute("data-state", "complete")


def test_a_reload_brings_the_conversation_back(
    open_page: Callable[..., Page], app_server: Any, mock_server: MockServer
) -> None:
    page = open_page(app_server.url)
    mock_server.script(
        Behaviour(text="一座**桥**。", reasoning="嗯"),
        Behaviour(fault="status", status=401),
        Behaviour(text="石头的。"),
    )
    for question, state in (("那是什么？", "complete"), ("为什么？", "failed")):
        page.fill("#prompt", question)
        page.press("#prompt", "Enter")
        expect(page.locator(".answer").last).to_have_attribute("data-state", state)
    page.reload()
    expect(page.locator(".question-text")).to_have_text(["那是什么？", "为什么？"])
    expect(page.locator(".prose strong")).to_have_text("桥")
    expect(page.locator(".reasoning summary").first).to_contain_text("思考了")
    expect(page.locator(".figures").first).to_contain_text("首字")
    expect(page.locator(".trouble-title")).to_have_text("模型服务拒绝了密钥")
    page.click(".trouble [data-do=retry]")
    expect(page.locator(".prose").last).to_have_text("石头的。")
    said = [message["content"] for message in mock_server.requests[-1].body["messages"]]
    assert said == ["那是什么？", "一座**桥**。", "为什么？"]
    page.click("#new-chat")
    page.reload()
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator(".question")).to_have_count(0)
