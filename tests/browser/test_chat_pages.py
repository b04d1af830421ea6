"""Reading chats in a real browser, and finding one's way among them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import WUKONG, Reader, answer, ask, prose, questions
from page_layout import assert_fits, at_newest, frames, settle
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer
from xwe.storage.repositories import memories

pytestmark = pytest.mark.browser

ENOUGH_TO_SCROLL = "\n\n".join(f"第 {number} 行" for number in range(60))


def test_a_reader_above_is_left_in_peace(
    sign_up: Callable[..., Reader],
    relay: Callable[..., Any],
    chat_server: Any,
    mock_server: MockServer,
) -> None:
    mock_server.script(
        Behaviour(text=ENOUGH_TO_SCROLL),
        Behaviour(text=f"{ENOUGH_TO_SCROLL}\n\n缝\n\n{ENOUGH_TO_SCROLL}"),
    )
    wire = relay(chat_server.url, stop_within="缝")
    reader = sign_up(wire.url)
    reader.make()
    chat = reader.open()
    ask(chat, "一")
    answer(chat, "complete")
    at_newest(chat)
    ask(chat, "二")
    answer(chat, "streaming")
    expect(prose(chat).last).to_contain_text("第 59 行")
    chat.locator("#scroll").evaluate("s => s.scrollTo(0, 100)")
    frames(chat)
    wire.go_on()
    expect(chat.locator("#newest")).to_be_visible()
    expect(chat.locator("#newest")).to_have_text("有新消息")
    answer(chat, "complete")
    assert chat.locator("#scroll").evaluate("s => s.scrollTop") == 100
    chat.click("#newest")
    expect(chat.locator("#newest")).to_be_hidden()
    at_newest(chat)


def test_paging_upward_brings_all_and_keeps_the_place(reader: Reader) -> None:
    reader.make(said=160)
    page = reader.open()
    expect(page.locator(".question")).to_have_count(25)
    at_newest(page)
    line = page.locator(".question-text", has_text=re.compile(r"^问 111$"))
    offset = "node => node.getBoundingClientRect().top"
    with page.expect_response(lambda response: "before_seq" in response.url):
        page.locator("#scroll").evaluate("s => s.scrollTo(0, 0)")
        before = line.evaluate(offset)
    expect(page.locator(".question")).to_have_count(50)
    assert abs(line.evaluate(offset) - before) < 2
    for count in (75, 80):
        page.locator("#scroll").evaluate("s => s.scrollTo(0, 0)")
        expect(page.locator(".question")).to_have_count(count)
    expect(page.locator("#older")).to_be_hidden()
    texts = page.locator(".question-text, .answer .prose").all_inner_texts()
    assert texts == [f"{'问' if number % 2 else '答'} {number}" for number in range(1, 161)]
    assert page.problems == []


def test_older_messages_that_did_not_come_can_be_asked_for_again(reader: Reader) -> None:
    reader.make(said=60)
    reader.page.route("**/messages?*before_seq=*", lambda route: route.abort(), times=1)
    page = reader.open()
    page.locator("#scroll").evaluate("s => s.scrollTo(0, 0)")
    page.click("#older [data-do=reload]")
    expect(page.locator(".question")).to_have_count(30)
    expect(page.locator("#older")).to_be_hidden()


def test_a_chat_that_cannot_be_read_says_so_and_tries_again(reader: Reader) -> None:
    reader.make(said=2)
    reader.page.route_web_socket("**/ws", lambda line: None)  # or it reads anew by itself
    reader.page.route("**/messages?*", lambda route: route.abort(), times=1)
    reader.page.goto(f"{reader.url}/chat/{WUKONG}")
    expect(reader.page.locator(".trouble-title")).to_have_text("连不上服务器")
    reader.page.click(".trouble [data-do=retry]")
    expect(prose(reader.page)).to_have_text(["答 2"])


def test_a_message_is_text_and_nothing_else(chat: Page, mock_server: MockServer) -> None:
    hostile = '<img src=x onerror="window.hurt = 1">[x](javascript:window.hurt=1)'
    mock_server.script(Behaviour(text=hostile))
    ask(chat, hostile)
    answer(chat, "complete")
    chat.reload()
    expect(prose(chat)).to_have_text([hostile])
    expect(questions(chat)).to_have_text([hostile])
    assert chat.locator("#log img, #log a").count() == 0
    assert chat.evaluate("window.hurt") is None


# --- where one can go ---


def test_chats_are_listed_by_the_last_talk_and_lead_to_their_address(
    reader: Reader, mock_server: MockServer
) -> None:
    reader.make("唐僧", said=2)
    reader.make(said=4)
    page = reader.open("唐僧")
    names = page.locator("#chats .chat-link-name")
    expect(names).to_have_text([WUKONG, "唐僧"])
    expect(page.locator("#chats .chat-link-preview")).to_have_text(["答 4", "答 2"])
    expect(page.locator("#chats [aria-current]")).to_contain_text("唐僧")
    mock_server.script(Behaviour(text="阿弥陀佛"))
    ask(page, "师父")
    expect(names).to_have_text(["唐僧", WUKONG])
    expect(page.locator("#chats .chat-link-preview").first).to_have_text("阿弥陀佛")
    page.click("#chats a:not([aria-current])")
    expect(page.locator("h1")).to_contain_text(WUKONG)
    page.go_back()
    expect(page.locator("h1")).to_contain_text("唐僧")
    expect(prose(page).last).to_have_text("阿弥陀佛")


def test_the_start_page_has_the_readers_chats(reader: Reader) -> None:
    page = reader.page
    page.goto(reader.url)
    expect(page.locator(".chats-empty")).to_be_visible()
    assert page.locator(".chats-empty a").get_attribute("href") == "/characters/new"
    reader.make(said=2)
    page.reload()
    expect(page.locator(".chats-empty")).to_be_hidden()
    expect(page.locator(".chat-link-preview")).to_have_text("答 2")
    page.click(".chat-link")
    expect(prose(page)).to_have_text(["答 2"])
    assert page.problems == []


def test_a_chat_is_the_readers_own(
    reader: Reader, open_page: Callable[..., Page], sign_up: Callable[..., Reader]
) -> None:
    reader.make()
    nobody = open_page(f"{reader.url}/chat/{WUKONG}")
    assert "/login?next=" in nobody.url
    other = sign_up(reader.url)
    other.page.goto(f"{reader.url}/chat/{WUKONG}")
    expect(other.page.locator("h1")).to_have_text("这里什么也没有")


def test_the_panel_tells_who_it_is_and_what_is_remembered(reader: Reader) -> None:
    character_id = reader.make()
    with reader.database.write() as writing:
        memories.replace(writing, character_id, "long", ["读者 | 喜欢桃子 |"])
    page = reader.open()
    panel = page.locator("#panel")
    expect(panel.locator("dt")).to_have_text(["姓名", "称谓/头衔"])
    expect(panel.locator("dd")).to_have_text([WUKONG, "齐天大圣 · 美猴王"])
    expect(panel.locator(".panel-memories:visible li")).to_have_text(["读者 · 喜欢桃子"])
    page.set_viewport_size({"width": 390, "height": 700})
    expect(panel).to_be_hidden()
    page.locator(".panel-open").focus()
    page.keyboard.press("Enter")
    expect(panel).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator(".panel-open")).to_be_focused()


# --- everybody ---


@pytest.fixture(params=["zh-CN", "en-GB"])
def any_reader(
    request: pytest.FixtureRequest, sign_up: Callable[..., Reader], chat_server: Any
) -> Reader:
    """Somebody of each language."""
    return sign_up(chat_server.url, locale=request.param, height=700)


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_chat_fits_and_keeps_nobody_out(
    any_reader: Reader,
    mock_server: MockServer,
    assert_accessible: Callable[[Page], None],
    width: int,
) -> None:
    reader = any_reader
    reader.page.set_viewport_size({"width": width, "height": 700})
    character_id = reader.make("x" * 60, first_message="y" * 300, said=2)
    with reader.database.write() as writing:
        memories.replace(writing, character_id, "short", ["z" * 200])
    page = reader.open("x" * 60)
    mock_server.script(
        Behaviour(text="x" * 300, reasoning="y"),
        Behaviour(text="两"),
        Behaviour(fault="status", status=401),
    )
    ask(page, "z" * 300)
    answer(page, "complete")
    page.locator("[data-do=again]").last.click()
    expect(page.locator(".variant-place").last).to_have_text("2/2")
    answer(page, "complete")
    ask(page, "?")
    answer(page, "failed")
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    if page.locator(".panel-open").is_visible():
        page.click(".panel-open")
    expect(page.locator("#panel li")).to_be_visible()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.goto(reader.url)
    expect(page.locator(".chat-link")).to_be_visible()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    assert [each for each in page.problems if "Failed to load resource" not in each] == []


def test_the_chat_is_accessible_in_the_dark(
    reader: Reader, assert_accessible: Callable[[Page], None], mock_server: MockServer
) -> None:
    for number in range(8):  # each of the letters' colours
        reader.make(chr(ord("a") + number))
    page = reader.open("a")
    page.evaluate("localStorage.setItem('xwe.theme', 'dark')")
    page.reload()
    ask(page, "hi")
    answer(page, "complete")
    expect(page.locator("#chats .chat-link")).to_have_count(8)
    settle(page)
    assert_accessible(page)
