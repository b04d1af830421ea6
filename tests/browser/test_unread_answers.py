"""An answer that ends while its reader is in another chat is marked in the list of chats."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_reader import WUKONG, Reader, answer, ask, listening, news_of, prose
from page_layout import assert_fits, settle
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

MONK = "唐僧"
HELD = "了"


@pytest.fixture
def reader_of_two(reader: Reader) -> Reader:
    reader.make()
    reader.make(MONK)
    return reader


@pytest.fixture
def held(
    serve: Callable[..., Any],
    relay: Callable[..., Any],
    sign_up: Callable[..., Reader],
    database_url: str,
    mock_server: MockServer,
) -> Iterator[tuple[Reader, Any]]:
    """Somebody with two chats, in one of which an answer is held, and what holds it."""
    mock_server.script(Behaviour(text="好了"))
    wire = relay(mock_server.base_url, stop_within=HELD)
    server = serve(XWE_DATABASE_URL=database_url, LLM_BASE_URL=f"{wire.url}/v1")
    reader = sign_up(server.url)
    reader.make()
    reader.make(MONK)
    page = reader.open()
    ask(page, "在吗？")
    expect(prose(page)).to_have_text("好")
    yield reader, wire
    wire.go_on()
    wire.cut()  # the server, which lives as long as the module, keeps its connections


def unread(page: Page) -> Any:
    """The chats that are marked; the words are for readers by ear."""
    return page.locator(".chat-link:has(.chat-link-unread:not([hidden]))")


def test_the_chat_is_marked_until_it_is_opened(
    held: tuple[Reader, Any], assert_accessible: Callable[[Page], None]
) -> None:
    reader, wire = held
    heard = news_of(reader.page)
    page = reader.open(MONK)
    listening(page, heard)
    wire.go_on()
    expect(unread(page)).to_have_count(1)
    expect(unread(page)).to_contain_text(WUKONG)
    expect(unread(page)).to_contain_text("有新回答")
    settle(page)
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 700})
    expect(page.locator(".menu[data-unread]")).to_be_visible()
    expect(page.locator(".menu")).to_have_attribute("aria-description", "有新回答")
    settle(page)
    assert_fits(page)
    page.set_viewport_size({"width": 1280, "height": 700})
    unread(page).click()
    expect(prose(page)).to_have_text(["好了"])
    page.locator(".chat-link", has_text=MONK).click()
    expect(page.locator(".chat-link")).to_have_count(2)
    expect(page.locator("#chats")).to_have_attribute("data-state", "shown")
    expect(unread(page)).to_have_count(0)


def test_what_ended_while_no_page_was_there_is_marked_too(held: tuple[Reader, Any]) -> None:
    reader, wire = held
    page = reader.page
    page.goto(f"{reader.url}/system")
    wire.go_on()
    shown = f"{reader.url}/api/chat/{WUKONG}/messages"
    while page.request.get(shown).json()["messages"][-1]["status"] != "complete":
        page.wait_for_timeout(50)
    page.goto(reader.url)
    expect(unread(page)).to_contain_text(WUKONG)


def test_what_another_tab_has_shown_is_not_marked(
    reader_of_two: Reader, mock_server: MockServer
) -> None:
    reader = reader_of_two
    page = reader.open()
    second = page.context.new_page()
    second.goto(f"{reader.url}/chat/{MONK}")
    expect(second.locator("#main")).to_have_attribute("data-state", "shown")
    mock_server.script(Behaviour(text="好了"))
    ask(page, "在吗？")
    answer(page, "complete")
    expect(second.locator(".chat-link-preview").first).to_have_text("好了")
    expect(unread(second)).to_have_count(0)
