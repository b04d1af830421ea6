"""The chat with a character in a real browser: turns, errors, variants, and what is written."""

import re

import pytest
from chat_reader import WUKONG, Reader, answer, ask, prose, questions, settled
from playwright.sync_api import Page, Route, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

POEM = "雾从江心慢慢起身，桥把两岸轻轻缝合。"


def test_what_was_said_is_there_at_once_and_after_a_reload(
    chat: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=POEM))
    expect(chat.locator("#welcome")).to_be_visible()
    ask(chat, "写诗")
    answer(chat, "complete")
    expect(chat.locator(".question")).to_have_attribute("data-state", "sent")
    expect(prose(chat)).to_have_text(POEM)
    expect(chat.locator("#status")).to_have_text(f"{WUKONG}：{POEM}")
    chat.reload()
    expect(questions(chat)).to_have_text(["写诗"])
    expect(prose(chat)).to_have_text([POEM])
    expect(chat.locator("#welcome")).to_be_hidden()
    assert chat.problems == []


def test_who_answers_is_told_by_letter_and_name_while_they_type(
    chat: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(fault="no_headers"))
    ask(chat, "在吗？")
    waiting = answer(chat, "waiting")
    expect(waiting.locator(".typing")).to_have_text(f"{WUKONG}正在输入")
    expect(waiting.locator(".answer-name")).to_have_text(WUKONG)
    expect(waiting.locator(".avatar")).to_have_text("孙")
    expect(chat.locator("#status")).to_have_text(f"{WUKONG}正在输入。")
    mock_server.wait_until(lambda: mock_server.requests, 60)
    chat.click("#stop")
    answer(chat, "stopped")


def test_the_characters_first_words_come_first_and_stay(
    reader: Reader, mock_server: MockServer
) -> None:
    reader.make(first_message="俺老孙来也！")
    page = reader.open()
    expect(prose(page)).to_have_text(["俺老孙来也！"])
    mock_server.script(Behaviour(text="好。"))
    ask(page, "走")
    settled(page)
    expect(prose(page)).to_have_text(["俺老孙来也！", "好。"])
    page.reload()
    expect(prose(page)).to_have_text(["俺老孙来也！", "好。"])


def test_a_message_that_was_not_sent_is_marked_and_sent_once_by_the_retry(
    chat: Page, mock_server: MockServer
) -> None:
    chat.context.set_offline(True)
    ask(chat, "写诗")
    failed = answer(chat, "failed")
    expect(chat.locator(".question")).to_have_attribute("data-state", "failed")
    expect(failed.locator(".trouble-title")).to_have_text("连不上服务器")
    chat.context.set_offline(False)
    mock_server.script(Behaviour(text="好了"))
    chat.click(".trouble [data-do=retry]")
    answer(chat, "complete")
    expect(questions(chat)).to_have_text(["写诗"])
    chat.reload()
    expect(questions(chat)).to_have_text(["写诗"])
    expect(prose(chat)).to_have_text(["好了"])


def lose_the_reply(page: Page) -> None:
    """The next message reaches the server, but what the server says to it never arrives."""

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/stream", lose, times=1)


def test_a_reply_that_got_lost_on_the_way_is_no_second_message(
    chat: Page, mock_server: MockServer
) -> None:
    """The server has taken it, but its reply never arrived: the retry finds the turn that is."""
    chat.route_web_socket("**/ws", lambda socket: None)  # or news of the answer shows it
    chat.reload()
    expect(chat.locator("#welcome")).to_be_visible()
    chat.route("**/messages*", lambda route: route.abort())  # and so would looking
    mock_server.script(Behaviour(text="好了"))
    lose_the_reply(chat)
    ask(chat, "写诗")
    answer(chat, "failed")
    chat.unroute("**/messages*")
    chat.click(".trouble [data-do=retry]")
    answer(chat, "complete")
    expect(prose(chat)).to_have_text(["好了"])
    expect(questions(chat)).to_have_text(["写诗"])
    assert len(mock_server.requests) == 1


def test_a_message_whose_reply_got_lost_is_looked_for_at_once(
    chat: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text="好了"))
    lose_the_reply(chat)
    ask(chat, "写诗")
    answer(chat, "complete")
    expect(prose(chat)).to_have_text(["好了"])
    expect(questions(chat)).to_have_text(["写诗"])
    expect(chat.locator(".trouble")).to_have_count(0)
    assert len(mock_server.requests) == 1


# --- errors ---


def test_an_error_is_a_block_with_a_retry_and_never_speech(
    chat: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(fault="status", status=401), Behaviour(text="好了"))
    ask(chat, "写诗")
    failed = answer(chat, "failed")
    expect(failed.locator(".trouble-title")).to_have_text("模型服务拒绝了密钥")
    expect(failed.locator(".prose")).to_be_empty()
    chat.reload()
    failed = answer(chat, "failed")
    expect(failed.locator(".trouble-title")).to_have_text("模型服务拒绝了密钥")
    failed.locator(".trouble [data-do=retry]").click()
    answer(chat, "complete")
    expect(prose(chat)).to_have_text(["好了"])
    expect(questions(chat)).to_have_text(["写诗"])
    expect(chat.locator(".trouble")).to_have_count(0)
    said = [message["content"] for message in mock_server.requests[-1].body["messages"]]
    assert said[-1] == "写诗"
    assert len(said) == 2


def test_a_broken_answer_keeps_its_text_and_says_that_it_broke(
    chat: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=POEM, fault="close", after_pieces=6, tokens_per_s=40))
    ask(chat, "写诗")
    answer(chat, "interrupted")
    chat.reload()
    broken = answer(chat, "interrupted")
    text = prose(chat).inner_text()
    assert text
    assert POEM.startswith(text)
    expect(broken.locator(".trouble-title")).to_have_text("回答中断了")


def test_who_was_signed_out_meanwhile_is_led_to_sign_in_and_keeps_the_text(
    reader: Reader, chat: Page
) -> None:
    chat.context.clear_cookies()
    ask(chat, "还在吗？")
    failed = answer(chat, "failed")
    expect(failed.locator(".trouble-title")).to_have_text("登录已失效")
    failed.locator("[data-do=retry]").click()
    chat.wait_for_url(re.compile(r"/login\?next="))


# --- variants ---


def test_another_answer_is_a_variant_and_the_choice_is_kept(
    chat: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text="第一"), Behaviour(text="第二"), Behaviour(text="第三"))
    ask(chat, "再说一遍")
    answer(chat, "complete")
    for count, text in ((2, "第二"), (3, "第三")):
        chat.click("[data-do=again]")
        expect(chat.locator(".variant-place")).to_have_text(f"{count}/{count}")
        expect(prose(chat)).to_have_text([text])
        answer(chat, "complete")
    expect(chat.locator("[data-do=later]")).to_be_disabled()
    chat.click("[data-do=earlier]")
    expect(chat.locator(".variant-place")).to_have_text("2/3")
    expect(prose(chat)).to_have_text(["第二"])
    expect(chat.locator("[data-do=earlier]")).to_be_focused()
    chat.reload()
    expect(chat.locator(".variant-place")).to_have_text("2/3")
    expect(prose(chat)).to_have_text(["第二"])
    expect(questions(chat)).to_have_text(["再说一遍"])


def test_another_answer_at_once_is_a_variant_though_the_page_does_not_know_the_first_ones_name(
    chat: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text="第一"), Behaviour(text="第二"))
    held: list[Route] | None = []

    def hold(look: Route) -> None:
        look.continue_() if held is None else held.append(look)

    chat.route("**/messages?*", hold)
    ask(chat, "再说一遍")
    answer(chat, "complete")
    chat.click("[data-do=again]")
    while not held:
        chat.wait_for_timeout(20)
    looks, held = held, None
    for look in looks:
        look.continue_()
    expect(chat.locator(".variant-place")).to_have_text("2/2")
    expect(prose(chat)).to_have_text(["第二"])
    assert len(mock_server.requests) == 2


def test_an_answer_that_cannot_be_made_anew_stays(chat: Page, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text="第一"))
    ask(chat, "再说一遍")
    answer(chat, "complete")
    chat.route("**/regenerate", lambda route: route.abort(), times=1)
    chat.click("[data-do=again]")
    expect(chat.locator(".trouble-title")).to_have_text("连不上服务器")
    expect(prose(chat)).to_have_text(["第一"])
    mock_server.script(Behaviour(text="第二"))
    chat.click(".trouble [data-do=retry]")
    expect(prose(chat)).to_have_text(["第二"])
    expect(chat.locator(".trouble")).to_have_count(0)


# --- writing ---


def test_each_chat_keeps_its_draft(reader: Reader) -> None:
    reader.make()
    reader.make("唐僧")
    page = reader.open()
    page.fill("#prompt", "还没写完")
    reader.open("唐僧")
    expect(page.locator("#prompt")).to_have_value("")
    page.go_back()
    expect(page.locator("#prompt")).to_have_value("还没写完")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("还没写完")


def test_enter_is_safe_while_an_input_method_composes(chat: Page, mock_server: MockServer) -> None:
    chat.fill("#prompt", "ni hao")
    chat.dispatch_event("#prompt", "keydown", {"key": "Enter", "isComposing": True})
    chat.press("#prompt", "Shift+Enter")
    chat.keyboard.type("第二行")
    expect(chat.locator("#prompt")).to_have_value("ni hao\n第二行")
    assert mock_server.requests == []
    chat.press("#prompt", "Enter")
    answer(chat, "complete")
    expect(questions(chat)).to_have_text("ni hao\n第二行")
