"""What was written is not lost: drafts, and messages that did not reach the server."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import WUKONG, Reader, answer, ask, prose, questions, settled
from page_layout import assert_fits, settle
from playwright.sync_api import Page, Route, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

PASSWORD = "a long password"


def fail_to_send(page: Page, text: str) -> None:
    page.route("**/stream", lambda route: route.abort(), times=1)
    ask(page, text)
    answer(page, "failed")


def test_a_message_that_was_not_sent_is_there_after_a_reload_and_can_be_sent(
    chat: Page, mock_server: MockServer
) -> None:
    fail_to_send(chat, "写诗")
    chat.reload()
    expect(questions(chat)).to_have_text(["写诗"])
    expect(answer(chat, "failed").locator(".trouble-title")).to_have_text("连不上服务器")
    mock_server.script(Behaviour(text="好了"))
    chat.click(".trouble [data-do=retry]")
    answer(chat, "complete")
    settled(chat)
    chat.reload()
    expect(prose(chat)).to_have_text(["好了"])
    expect(questions(chat)).to_have_text(["写诗"])


def test_a_message_that_was_on_its_way_when_the_page_was_left_is_there(chat: Page) -> None:
    def hold(route: Route) -> None:
        """Nothing becomes of it."""

    chat.route("**/stream", hold)
    with chat.expect_request("**/stream"):
        ask(chat, "写诗")
    chat.reload()
    expect(questions(chat)).to_have_text(["写诗"])
    expect(answer(chat, "failed").locator(".trouble-title")).to_have_text("这条消息还没有发出")


def test_a_message_that_was_not_sent_can_be_taken_back_and_changed(
    chat: Page, mock_server: MockServer
) -> None:
    fail_to_send(chat, "写湿")
    chat.click("[data-do=edit]")
    expect(chat.locator("#prompt")).to_be_focused()
    expect(chat.locator("#prompt")).to_have_value("写湿")
    expect(questions(chat)).to_have_count(0)
    mock_server.script(Behaviour(text="好了"))
    ask(chat, "写诗")
    answer(chat, "complete")
    chat.reload()
    expect(questions(chat)).to_have_text(["写诗"])


def test_a_message_that_is_too_long_can_be_shortened(chat: Page, mock_server: MockServer) -> None:
    refusal = {"error": {"code": "too_large", "message": "Too large."}}
    chat.route("**/stream", lambda route: route.fulfill(status=413, json=refusal), times=1)
    ask(chat, "太长的消息")
    expect(answer(chat, "failed").locator(".trouble-title")).to_have_text("内容太长了")
    expect(chat.locator(".trouble [data-do=retry]")).to_be_hidden()
    chat.reload()
    chat.click("[data-do=edit]")
    expect(chat.locator("#prompt")).to_have_value("太长的消息")


def test_a_message_that_is_sent_again_stands_where_the_server_has_it(
    chat: Page, mock_server: MockServer
) -> None:
    fail_to_send(chat, "甲")
    mock_server.script(Behaviour(text="答乙"), Behaviour(text="答甲"))
    ask(chat, "乙")
    answer(chat, "complete")
    expect(questions(chat)).to_have_text(["甲", "乙"])
    chat.click(".trouble [data-do=retry]")
    expect(prose(chat)).to_have_text(["答乙", "答甲"])
    expect(questions(chat)).to_have_text(["乙", "甲"])
    settled(chat)
    chat.reload()
    expect(questions(chat)).to_have_text(["乙", "甲"])
    expect(prose(chat)).to_have_text(["答乙", "答甲"])


def test_a_message_takes_its_place_when_the_server_tells_it(
    chat: Page, mock_server: MockServer
) -> None:
    """The first was stored though its reply got lost; the page hears of it after the second."""
    mock_server.script(Behaviour(text="答甲"), Behaviour(text="答乙"))
    chat.route_web_socket("**/ws", lambda socket: None)
    chat.reload()
    expect(chat.locator("#welcome")).to_be_visible()
    fail_to_send(chat, "乙")  # not there, and written first
    ask(chat, "甲")
    answer(chat, "complete")
    settled(chat)
    chat.route("**/messages?*", lambda route: route.abort())

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    chat.route("**/stream", lose, times=1)
    chat.locator(".trouble [data-do=retry]").click()
    expect(chat.locator(".question[data-state=failed] .question-text")).to_have_text("乙")
    chat.unroute("**/messages?*")
    chat.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(prose(chat)).to_have_text(["答甲", "答乙"])
    expect(questions(chat)).to_have_text(["甲", "乙"])


@pytest.mark.parametrize(("locale", "width"), [("zh-CN", 320), ("en-GB", 390), ("en-GB", 1280)])
def test_what_was_not_sent_fits_and_keeps_nobody_out(
    sign_up: Callable[..., Reader],
    chat_server: Any,
    assert_accessible: Callable[[Page], None],
    locale: str,
    width: int,
) -> None:
    reader = sign_up(chat_server.url, locale=locale, width=width, height=700)
    reader.make()
    page = reader.open()
    fail_to_send(page, "x" * 200)
    expect(page.locator("[data-do=edit]")).to_be_visible()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    box = page.locator("[data-do=edit]").bounding_box()
    assert min(box["width"], box["height"]) >= 43.9


# --- drafts ---


def test_a_draft_survives_its_tab_and_a_new_name(reader: Reader) -> None:
    reader.make()
    page = reader.open()
    page.fill("#prompt", "还没写完")
    later = page.context.new_page()
    page.close()
    renamed = later.request.put(
        f"{reader.url}/api/characters/{WUKONG}/rename",
        data={"new_name": "行者"},
        headers={"Origin": reader.url},
    )
    assert renamed.ok, renamed.text()
    later.goto(f"{reader.url}/chat/行者")
    expect(later.locator("#prompt")).to_have_value("还没写完")


def test_the_next_who_signs_in_sees_nothing_of_the_one_before(
    reader: Reader, sign_up: Callable[..., Reader], chat_server: Any
) -> None:
    other = sign_up(chat_server.url)
    for each in (reader, other):
        each.make()
    page = reader.open()
    fail_to_send(page, "没有发出")
    page.fill("#prompt", "还没写完")
    page.context.clear_cookies()
    page.context.add_cookies(other.page.context.cookies())
    page.reload()
    expect(page.locator("#main")).to_have_attribute("data-state", "shown")
    expect(page.locator("#prompt")).to_have_value("")
    expect(questions(page)).to_have_count(0)


def test_signing_out_leaves_nothing_in_the_browser(chat: Page, reader: Reader) -> None:
    fail_to_send(chat, "没有发出")
    chat.fill("#prompt", "还没写完")
    chat.goto(f"{reader.url}/account")
    chat.click("#sign-out")
    expect(chat.locator("#login")).to_be_visible()
    left = chat.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert "没" not in left
