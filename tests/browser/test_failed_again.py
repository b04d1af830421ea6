"""An answer made anew that fails: the good ones stay, and the page tells of the failure."""

import pytest
from chat_reader import answer, ask, prose, settled
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

REFUSED = Behaviour(fault="status", status=401)


@pytest.fixture
def answered_twice(chat: Page, mock_server: MockServer) -> Page:
    mock_server.script(Behaviour(text="第一"), Behaviour(text="第二"))
    ask(chat, "再说一遍")
    answer(chat, "complete")
    chat.click("[data-do=again]")
    expect(chat.locator(".variant-place")).to_have_text("2/2")
    answer(chat, "complete")
    settled(chat)
    return chat


def test_the_answer_before_is_there_again_with_the_failure_below_it(
    answered_twice: Page, mock_server: MockServer
) -> None:
    page = answered_twice
    mock_server.script(REFUSED, Behaviour(text="好"))
    page.click("[data-do=again]")
    expect(page.locator(".trouble-title")).to_have_text("模型服务拒绝了密钥")
    expect(prose(page)).to_have_text(["第二"])
    expect(page.locator(".variant-place")).to_have_text("2/3")
    page.reload()
    expect(prose(page)).to_have_text(["第二"])
    expect(page.locator(".variant-place")).to_be_visible()
    ask(page, "然后呢？")
    expect(prose(page).last).to_have_text("好")
    said = [message["content"] for message in mock_server.requests[-1].body["messages"][1:]]
    assert said == ["再说一遍", "第二", "然后呢？"]


def test_the_one_that_failed_can_be_looked_at_and_left_again(
    answered_twice: Page, mock_server: MockServer
) -> None:
    page = answered_twice
    mock_server.script(REFUSED)
    page.click("[data-do=again]")
    expect(page.locator(".variant-place")).to_have_text("2/3")
    page.click("[data-do=later]")
    answer(page, "failed")
    expect(page.locator(".variant-place")).to_have_text("3/3")
    expect(page.locator("[data-do=copy]:visible, [data-do=again]:visible")).to_have_count(0)
    page.reload()
    answer(page, "failed")
    page.click("[data-do=earlier]")
    expect(prose(page)).to_have_text(["第二"])
    expect(page.locator(".trouble")).to_have_count(0)


def test_trying_again_below_the_answer_makes_another_one(
    answered_twice: Page, mock_server: MockServer
) -> None:
    page = answered_twice
    mock_server.script(REFUSED, Behaviour(text="第四"))
    page.click("[data-do=again]")
    expect(page.locator(".variant-place")).to_have_text("2/3")
    page.click(".trouble [data-do=retry]")
    expect(prose(page)).to_have_text(["第四"])
    expect(page.locator(".variant-place")).to_have_text("4/4")
    expect(page.locator(".trouble")).to_have_count(0)


def test_the_keyboard_stays_with_the_answer_that_is_made_anew(
    answered_twice: Page, mock_server: MockServer
) -> None:
    page = answered_twice
    mock_server.script(Behaviour(fault="no_headers"))
    asked = len(mock_server.requests)
    page.focus("[data-do=again]")
    page.keyboard.press("Enter")
    answer(page, "waiting")
    mock_server.wait_until(lambda: len(mock_server.requests) > asked, 60)
    expect(page.locator(".answer")).to_be_focused()
    page.keyboard.press("Escape")
    expect(prose(page)).to_have_text(["第二"])
    expect(page.locator(".answer")).to_be_focused()
