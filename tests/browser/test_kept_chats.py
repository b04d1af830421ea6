"""A chat is kept by the server: an answer outlives its page, and every tab shows the same."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_reader import WUKONG, Reader, answer, ask, listening, news_of, prose, questions
from playwright.sync_api import Page, Request, WebSocketRoute, expect

from xwe.mock import Behaviour, MockServer
from xwe.storage.repositories import conversations, messages

pytestmark = pytest.mark.browser

POEM = "雾从江心慢慢起身，桥把两岸轻轻缝合。"
BEFORE, HELD = POEM.partition("缝")[:2]


@pytest.fixture
def held(
    serve: Callable[..., Any],
    relay: Callable[..., Any],
    sign_up: Callable[..., Reader],
    database_url: str,
    mock_server: MockServer,
) -> Iterator[tuple[Reader, Any]]:
    """A reader of a server whose model is held within the poem, and what holds it."""
    mock_server.script(Behaviour(text=POEM, tokens_per_s=200))
    wire = relay(mock_server.base_url, stop_within=HELD)
    server = serve(XWE_DATABASE_URL=database_url, LLM_BASE_URL=f"{wire.url}/v1")
    reader = sign_up(server.url)
    reader.make()
    page = reader.open()
    ask(page, "写诗")
    expect(prose(page)).to_have_text(BEFORE)
    yield reader, wire
    wire.go_on()
    wire.cut()  # the server, which lives as long as the module, keeps its connections


def rejoining(request: Request) -> bool:
    return re.search(r"/api/generations/[\w-]+/events$", request.url) is not None


def test_a_reload_in_mid_answer_goes_on_where_it_was(
    held: tuple[Reader, Any], mock_server: MockServer
) -> None:
    reader, wire = held
    page = reader.page
    with page.expect_request(rejoining):
        page.reload()
    expect(prose(page)).to_have_text(BEFORE)
    expect(page.locator("#stop")).to_be_visible()
    wire.go_on()
    answer(page, "complete")
    expect(prose(page)).to_have_text([POEM])
    expect(questions(page)).to_have_text(["写诗"])
    assert len(mock_server.requests) == 1
    assert page.problems == []


def test_a_second_tab_shows_the_answer_while_it_is_made(held: tuple[Reader, Any]) -> None:
    reader, wire = held
    second = reader.page.context.new_page()
    second.goto(reader.page.url)
    expect(prose(second)).to_have_text(BEFORE)
    wire.go_on()
    for page in (reader.page, second):
        answer(page, "complete")
        expect(prose(page)).to_have_text([POEM])


def test_stop_in_one_tab_keeps_the_part_in_both_and_after_a_reload(
    held: tuple[Reader, Any],
) -> None:
    reader, wire = held
    second = reader.page.context.new_page()
    second.goto(reader.page.url)
    expect(prose(second)).to_have_text(BEFORE)
    second.click("#stop")
    for page in (reader.page, second):
        stopped = answer(page, "stopped")
        expect(stopped.locator(".when-stopped")).to_be_visible()
        expect(prose(page)).to_have_text([BEFORE])
    wire.go_on()
    second.reload()
    answer(second, "stopped")
    expect(prose(second)).to_have_text([BEFORE])
    expect(second.locator(".trouble")).to_have_count(0)


def test_a_lost_network_is_quietly_rejoined(
    held: tuple[Reader, Any], relay: Callable[..., Any]
) -> None:
    reader, wire = held
    page = reader.page
    near = relay(reader.url, stop_within="\uf8ff")  # which nobody says
    page.goto(f"{near.url}/chat/{WUKONG}")
    expect(prose(page)).to_have_text(BEFORE)
    near.cut()
    expect(page.locator(".reconnecting")).to_be_visible()
    expect(page.locator(".trouble")).to_have_count(0)
    near.mend()
    wire.go_on()
    answer(page, "complete")
    expect(prose(page)).to_have_text([POEM])


# --- two tabs ---


def test_what_is_said_in_one_tab_appears_in_the_other(
    reader: Reader, chat: Page, mock_server: MockServer
) -> None:
    second = chat.context.new_page()
    second.goto(chat.url)
    expect(second.locator("#welcome")).to_be_visible()
    mock_server.script(Behaviour(text="好了"), Behaviour(text="又好了"))
    ask(chat, "一")
    expect(prose(second)).to_have_text(["好了"])
    answer(second, "complete")
    ask(second, "二")
    for page in (chat, second):
        expect(questions(page)).to_have_text(["一", "二"])
        expect(prose(page)).to_have_text(["好了", "又好了"])
        answer(page, "complete")
    expect(chat.locator(".chat-link-preview")).to_have_text("又好了")


def test_another_device_is_told_too(
    reader: Reader, chat: Page, chromium: Any, mock_server: MockServer
) -> None:
    context = chromium.new_context(storage_state=chat.context.storage_state())
    try:
        context.set_default_timeout(60_000)
        elsewhere = context.new_page()
        heard = news_of(elsewhere)
        elsewhere.goto(chat.url)
        listening(elsewhere, heard)
        mock_server.script(Behaviour(text="好了"))
        ask(chat, "一")
        expect(prose(elsewhere)).to_have_text(["好了"])
    finally:
        context.close()


def test_what_nobody_could_be_told_of_is_read_once_the_line_for_news_is_there(
    reader: Reader,
) -> None:
    """Each time: what was said before the first line, and while a line was gone."""
    role = reader.make(said=2)
    lines: list[WebSocketRoute] = []

    def open_line(line: WebSocketRoute) -> None:
        lines.append(line)  # it says nothing by itself

    reader.page.route_web_socket("**/ws", open_line)
    page = reader.open()
    expect(prose(page)).to_have_text(["答 2"])
    for text in ("答 3", "答 4"):
        while not lines:
            page.wait_for_timeout(20)
        with reader.database.write() as writing:
            chat = conversations.for_character(writing, reader.id, role)
            messages.append(writing, chat.id, sender_type="character", sender_id=role, content=text)
        line = lines.pop()
        line.send('{"type":"subscribed"}')
        expect(prose(page).last).to_have_text(text)
        line.close()


# --- who looks elsewhere ---

# A browser without a window is always looked at, and its system has no place for notifications:
# the page is told that nobody looks, and what it asks of the system is written down.
LOOKED_AWAY = """() => {
  Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
  window.told = [];
  const Real = window.Notification;
  window.Notification = class {
    static permission = "granted";
    static requestPermission = () => Real.requestPermission();
    constructor(heading, options) {
      window.told.push({ heading, ...options });
      this.close = () => window.told.push("closed");
    }
  };
}"""
BACK = """() => {
  Object.defineProperty(document, "hidden", { get: () => false, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_who_looks_elsewhere_is_told_by_the_title_and_by_the_system(
    held: tuple[Reader, Any],
) -> None:
    reader, wire = held
    page = reader.page
    title = page.title()
    page.evaluate(LOOKED_AWAY)
    wire.go_on()
    answer(page, "complete")
    expect(page).to_have_title(f"● {title}")
    (told,) = page.evaluate("window.told")
    assert (told["heading"], told["body"]) == (WUKONG, POEM)
    page.evaluate(BACK)
    expect(page).to_have_title(title)
    assert page.evaluate("window.told").pop() == "closed"


def test_who_is_looking_is_not_told(held: tuple[Reader, Any]) -> None:
    reader, wire = held
    page = reader.page
    title = page.title()
    page.evaluate(LOOKED_AWAY)
    page.evaluate(BACK)
    wire.go_on()
    answer(page, "complete")
    expect(page.locator("#status")).to_have_text(f"{WUKONG}：{POEM}")
    assert page.title() == title
    assert page.evaluate("window.told") == []


# A reader who has not decided yet, and who agrees when asked.
UNDECIDED = """
  window.Notification = class {
    static get permission() { return sessionStorage.getItem("permission") ?? "default"; }
    static async requestPermission() { sessionStorage.setItem("permission", "granted"); }
  };
"""


def test_the_bell_asks_for_the_permission_and_goes_once_it_is_given(reader: Reader) -> None:
    reader.make()
    reader.page.add_init_script(UNDECIDED)
    page = reader.open()
    bell = page.get_by_role("button", name="有了回答就通知我")
    expect(bell).to_be_visible()
    bell.click()
    expect(bell).to_be_hidden()
    page.reload()
    expect(page.locator("#welcome")).to_be_visible()
    expect(bell).to_be_hidden()
