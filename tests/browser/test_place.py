"""The place where somebody reads: kept while a text grows, and news only where something is new."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import Reader, answer, ask
from page_layout import at_newest, frames
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

LONG = "\n\n".join(f"第 {number} 行" for number in range(60))
DISTANCE = """() => {
  const scroll = document.getElementById("scroll");
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;
}"""


def test_older_messages_are_no_news(reader: Reader) -> None:
    reader.make(said=120)
    page = reader.open()
    for count in (50, 60):
        page.locator("#scroll").evaluate("s => s.scrollTo(0, 0)")
        expect(page.locator(".question")).to_have_count(count)
        frames(page)
        expect(page.locator("#newest")).to_be_hidden()


def test_a_longer_message_to_write_is_no_news(reader: Reader) -> None:
    reader.make(said=40)
    page = reader.open()
    page.locator("#scroll").evaluate("s => s.scrollTo(0, 100)")
    frames(page)
    page.fill("#prompt", "一\n二\n三\n四")
    frames(page)
    expect(page.locator("#newest")).to_be_hidden()


def test_what_is_said_elsewhere_is_news(reader: Reader, mock_server: MockServer) -> None:
    reader.make(said=40)
    page = reader.open()
    page.locator("#scroll").evaluate("s => s.scrollTo(0, 100)")
    frames(page)
    mock_server.script(Behaviour(text="好了"))
    second = page.context.new_page()
    second.goto(page.url)
    ask(second, "一")
    expect(page.locator("#newest")).to_be_visible()
    answer(page, "complete")
    assert page.locator("#scroll").evaluate("s => s.scrollTop") == 100


@pytest.fixture
def long_answer(open_page: Callable[..., Page], app_server: Any, mock_server: MockServer) -> Page:
    page = open_page(app_server.url)
    mock_server.script(Behaviour(text=LONG))
    ask(page, "一")
    answer(page, "complete")
    at_newest(page)
    frames(page)
    return page


def test_text_that_grows_before_its_scrolling_is_told_is_followed_on(long_answer: Page) -> None:
    """As with reduced motion, where whole paragraphs come at once."""
    page = long_answer
    page.evaluate(
        """() => {
          const more = document.createElement("p");
          more.style.blockSize = "500px";
          document.querySelector(".prose").append(more);
          document.getElementById("scroll").dispatchEvent(new Event("scroll"));
        }"""
    )
    at_newest(page)
    page.locator("#scroll").evaluate("s => s.scrollBy(0, -200)")
    frames(page)
    page.evaluate("""() => document.querySelector(".prose").append(document.createElement("hr"))""")
    frames(page)
    assert page.evaluate(DISTANCE) > 150
