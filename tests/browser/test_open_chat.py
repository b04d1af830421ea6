"""The open chat: what is taken away can be had back, and its first page is seen from the top."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import Reader, answer, ask
from page_layout import assert_fits, settle
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser


@pytest.fixture
def page(open_page: Callable[..., Page], app_server: Any, mock_server: MockServer) -> Page:
    return open_page(app_server.url)


@pytest.fixture
def talked(page: Page, mock_server: MockServer) -> Page:
    """Two questions and their answers."""
    mock_server.script(Behaviour(text="一座桥。"), Behaviour(text="石头的。"))
    for number, question in enumerate(("那是什么？", "什么做的？"), 1):
        ask(page, question)
        expect(page.locator(".answer[data-state=complete]")).to_have_count(number)
    return page


def undo(page: Page) -> Any:
    return page.locator(".toast").get_by_role("button", name="撤销")


def test_a_new_chat_can_be_undone(talked: Page, mock_server: MockServer) -> None:
    page = talked
    page.click("#new-chat")
    expect(page.locator(".question")).to_have_count(0)
    undo(page).click()
    expect(page.locator(".question-text")).to_have_text(["那是什么？", "什么做的？"])
    expect(page.locator(".prose")).to_have_text(["一座桥。", "石头的。"])
    expect(page.locator("#welcome")).to_be_hidden()
    expect(page.locator(".toast")).to_have_count(0)
    page.reload()
    expect(page.locator(".prose")).to_have_text(["一座桥。", "石头的。"])
    ask(page, "多长？")
    expect(page.locator(".answer[data-state=complete]")).to_have_count(3)
    said = [message["content"] for message in mock_server.requests[-1].body["messages"]]
    assert said == ["那是什么？", "一座桥。", "什么做的？", "石头的。", "多长？"]


def test_a_new_chat_in_mid_answer_can_be_undone(page: Page, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text="一座桥。", fault="stall", after_pieces=2))
    ask(page, "那是什么？")
    answer(page, "streaming")
    page.click("#new-chat")
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    undo(page).click()
    answer(page, "stopped")
    expect(page.locator("#send")).to_be_visible()


def test_asking_an_old_question_again_can_be_undone(talked: Page, mock_server: MockServer) -> None:
    page = talked
    mock_server.script(Behaviour(fault="no_headers"))
    asked = len(mock_server.requests)
    page.locator("[data-do=again]").first.focus()
    page.keyboard.press("Enter")
    answer(page, "waiting")
    mock_server.wait_until(lambda: len(mock_server.requests) > asked, 60)
    expect(page.locator(".question")).to_have_count(1)
    expect(page.locator(".answer")).to_be_focused()
    undo(page).click()
    expect(page.locator(".prose")).to_have_text(["一座桥。", "石头的。"])
    expect(page.locator(".answer[data-state=complete]")).to_have_count(2)
    expect(page.locator("#send")).to_be_visible()


def test_the_offer_ends_with_the_next_question(talked: Page, mock_server: MockServer) -> None:
    page = talked
    page.click("#new-chat")
    expect(undo(page)).to_be_visible()
    mock_server.script(Behaviour(text="好"))
    ask(page, "从头说")
    answer(page, "complete")
    expect(page.locator(".toast")).to_have_count(0)


@pytest.mark.usefixtures("mock_server")
@pytest.mark.parametrize(("locale", "width"), [("zh-CN", 1280), ("zh-CN", 390), ("en-GB", 320)])
def test_the_offer_fits(
    open_page: Callable[..., Page],
    app_server: Any,
    assert_accessible: Callable[[Page], None],
    locale: str,
    width: int,
) -> None:
    page = open_page(app_server.url, locale=locale, width=width, height=700)
    ask(page, "hi")
    answer(page, "complete")
    page.click("#new-chat")
    expect(page.locator(".toast")).to_be_visible()
    settle(page)
    assert_fits(page)
    assert_accessible(page)


@pytest.mark.parametrize("width", [390, 320])
def test_the_first_page_is_seen_from_its_top(
    open_page: Callable[..., Page], app_server: Any, width: int
) -> None:
    page = open_page(app_server.url, locale="en-GB", width=width, height=480)
    # The chat's script has run: it has put the way to send in order.
    page.fill("#prompt", "?")
    expect(page.locator("#send")).to_be_enabled()
    heading = page.locator("#welcome h2").bounding_box()
    scroll = page.locator("#scroll").bounding_box()
    assert heading["y"] >= scroll["y"]
    assert page.locator("#scroll").evaluate("s => s.scrollTop") == 0


def test_a_message_that_is_too_long_is_there_to_be_shortened(page: Page) -> None:
    refusal = {"error": {"code": "too_large", "message": "Too large."}}
    page.route("**/stream", lambda route: route.fulfill(status=413, json=refusal), times=1)
    ask(page, "太长的消息")
    answer(page, "failed")
    expect(page.locator("#prompt")).to_have_value("太长的消息")


@pytest.mark.parametrize("width", [1280, 320])
def test_a_long_name_takes_one_line_where_one_writes(reader: Reader, width: int) -> None:
    reader.make("x" * 64)
    reader.page.set_viewport_size({"width": width, "height": 700})
    page = reader.open("x" * 64)
    field = page.locator("#prompt")
    empty = field.bounding_box()["height"]
    page.fill("#prompt", "y")
    assert field.bounding_box()["height"] == empty
