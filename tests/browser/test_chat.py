"""The chat in a real browser, on the real server and a scripted model."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from page_layout import at_newest, frames
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

POEM = "雾从江心慢慢起身，😀 桥把两岸轻轻缝合。"


@pytest.fixture
def page(open_page: Callable[..., Page], app_server: Any, mock_server: MockServer) -> Page:
    return open_page(app_server.url)


def ask(page: Page, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.press("#prompt", "Enter")


def answer(page: Page, state: str) -> Any:
    """The newest answer, once it is in that state."""
    newest = page.locator(".answer").last
    expect(newest).to_have_attribute("data-state", state)
    return newest


def prose(page: Page) -> Any:
    return page.locator(".answer").last.locator(".prose")


# --- an answer ---


def test_an_answer_grows_before_the_readers_eyes(page: Page, mock_server: MockServer) -> None:
    words = " ".join(f"w{number}" for number in range(24))
    mock_server.script(Behaviour(text=words, tokens_per_s=10))
    page.evaluate(
        """() => {
          window.seen = new Set();
          new MutationObserver(() => {
            const shown = document.querySelector(".prose");
            if (shown) window.seen.add(shown.textContent);
          }).observe(document.getElementById("log"), { subtree: true, childList: true });
        }"""
    )
    ask(page, "数一数")
    answer(page, "complete")
    seen = sorted(page.evaluate("[...window.seen]"), key=len)
    assert seen[-1] == words
    assert len(seen) > 2
    assert all(words.startswith(text) for text in seen)
    assert page.problems == []


def test_the_question_is_there_at_once_and_the_first_words_before_the_last(
    page: Page, mock_server: MockServer
) -> None:
    """The model falls silent after a few words: they are shown all the same."""
    mock_server.script(Behaviour(text=POEM, fault="stall", after_pieces=4))
    ask(page, "写诗")
    expect(page.locator(".question-text")).to_have_text("写诗")
    answer(page, "streaming")
    expect(prose(page)).to_have_text(re.compile("^雾从"))
    assert POEM.startswith(prose(page).inner_text())
    expect(page.locator("#stop")).to_be_visible()


@pytest.mark.parametrize("write_bytes", [1, 5])
def test_characters_stay_whole_however_the_wire_cuts_them(
    page: Page, mock_server: MockServer, write_bytes: int
) -> None:
    mock_server.script(Behaviour(text=POEM, write_bytes=write_bytes))
    ask(page, "写诗")
    answer(page, "complete")
    expect(prose(page)).to_have_text(POEM)


def test_an_example_asks_itself(page: Page, mock_server: MockServer) -> None:
    page.locator(".example").first.click()
    answer(page, "complete")
    (received,) = mock_server.requests
    assert received.body["messages"][0]["content"] == page.locator(".question-text").inner_text()
    expect(page.locator("#welcome")).to_be_hidden()


def test_a_second_question_brings_the_conversation_along(
    page: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text="一座桥。"), Behaviour(text="石头的。"))
    ask(page, "那是什么？")
    answer(page, "complete")
    ask(page, "什么做的？")
    expect(page.locator(".answer[data-state=complete]")).to_have_count(2)
    said = [message["content"] for message in mock_server.requests[-1].body["messages"]]
    assert said == ["那是什么？", "一座桥。", "什么做的？"]


def test_a_long_question_arrives_whole(page: Page, mock_server: MockServer) -> None:
    question = "很长的问题。" * 2000
    ask(page, question)
    answer(page, "complete")
    assert mock_server.requests[-1].body["messages"][-1]["content"] == question


# --- stop ---


def test_stop_keeps_the_partial_text_and_stops_the_model(
    page: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=POEM, fault="stall", after_pieces=4))
    ask(page, "写诗")
    answer(page, "streaming")
    page.click("#stop")
    stopped = answer(page, "stopped")
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    text = prose(page).inner_text()
    assert text
    assert POEM.startswith(text)
    expect(stopped.locator(".when-stopped")).to_be_visible()
    expect(stopped.locator(".trouble")).to_have_count(0)
    expect(page.locator("#send")).to_be_visible()
    assert page.problems == []


def test_stop_works_before_the_first_word(page: Page, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(fault="no_headers"))
    ask(page, "写诗")
    mock_server.wait_until(lambda: mock_server.requests, 60)
    page.keyboard.press("Escape")
    stopped = answer(page, "stopped")
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, 60)
    mock_server.script(Behaviour(text="好了"))
    stopped.locator("[data-do=again]").click()
    answer(page, "complete")
    expect(prose(page)).to_have_text("好了")


# --- reasoning ---


def test_reasoning_is_folded_away_and_can_be_read(page: Page, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text="好了", reasoning="先想一想。"))
    ask(page, "写诗")
    answer(page, "complete")
    expect(prose(page)).to_have_text("好了")
    reasoning = page.locator(".reasoning")
    expect(reasoning.locator("summary")).to_contain_text("思考了")
    expect(reasoning.locator(".reasoning-text")).to_be_hidden()
    reasoning.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(reasoning.locator(".reasoning-text")).to_have_text("先想一想。")


# --- errors ---


def test_an_error_is_a_block_with_a_way_to_retry(page: Page, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(fault="status", status=401), Behaviour(text="好了"))
    ask(page, "写诗")
    failed = answer(page, "failed")
    trouble = failed.locator(".trouble")
    expect(trouble.locator(".trouble-title")).to_have_text("模型服务拒绝了密钥")
    expect(trouble).to_have_attribute("role", "alert")
    expect(prose(page)).to_be_empty()
    expect(page.locator(".question")).to_have_attribute("data-state", "failed")

    trouble.locator("[data-do=retry]").click()
    answer(page, "complete")
    expect(prose(page)).to_have_text("好了")
    expect(page.locator(".trouble")).to_have_count(0)
    expect(page.locator(".question")).to_have_count(1)


def test_a_broken_answer_keeps_its_text_and_says_that_it_broke(
    page: Page, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=POEM, fault="close", after_pieces=6, tokens_per_s=40))
    ask(page, "写诗")
    broken = answer(page, "interrupted")
    text = prose(page).inner_text()
    assert text
    assert POEM.startswith(text)
    expect(broken.locator(".trouble-title")).to_have_text("回答中断了")
    broken.locator(".trouble [data-do=retry]").click()
    answer(page, "complete")


def test_a_server_that_cannot_be_reached_is_said_to_be_so(
    page: Page, mock_server: MockServer
) -> None:
    page.context.set_offline(True)
    ask(page, "写诗")
    expect(answer(page, "failed").locator(".trouble-title")).to_have_text("连不上服务器")
    page.context.set_offline(False)
    page.click(".trouble [data-do=retry]")
    answer(page, "complete")


def test_a_server_with_a_token_asks_for_it_in_place(
    open_page: Callable[..., Page], serve: Callable[..., Any], mock_server: MockServer
) -> None:
    page = open_page(serve(XWE_ACCESS="login", XWE_API_TOKEN="t0ken-abc").url)
    ask(page, "写诗")
    answer(page, "failed")
    for token, state in (("wrong", "failed"), ("t0ken-abc", "complete")):
        page.fill("input[name=token]", token)
        page.press("input[name=token]", "Enter")
        answer(page, state)
    assert len(mock_server.requests) == 1


# --- what a model may not do ---


def test_a_models_text_is_text_and_nothing_else(page: Page, mock_server: MockServer) -> None:
    hostile = (
        '<img src=x onerror="window.hurt = 1"> <script>window.hurt = 1</script>\n\n'
        "[click](javascript:window.hurt=1) ![pixel](https://evil.test/p.png)\n\n"
        '**<b onclick="window.hurt = 1">bold</b>** [good](https://example.org/?a=1&b="2)\n\n'
        '```html\n<iframe src="javascript:window.hurt = 1"></iframe>\n```'
    )
    mock_server.script(Behaviour(text=hostile))
    ask(page, "坏")
    answer(page, "complete")
    shown = prose(page)
    expect(shown).to_contain_text('<img src=x onerror="window.hurt = 1">')
    expect(shown).to_contain_text("[click](javascript:window.hurt=1) pixel")
    assert shown.locator("img, script, iframe, b").count() == 0
    links = shown.locator("a").evaluate_all("all => all.map(link => [link.href, link.rel])")
    alone = "noopener noreferrer nofollow"
    # A picture is a link: nothing is fetched before somebody wants it.
    assert links == [
        ["https://evil.test/p.png", alone],
        ["https://example.org/?a=1&b=%222", alone],
    ]
    assert page.evaluate("window.hurt") is None
    assert page.problems == []


def test_the_small_markdown_is_shown_as_it_was_meant(page: Page, mock_server: MockServer) -> None:
    mock_server.script(
        Behaviour(
            text="## 标题\n\n一段 **重点** 和 `code`。\n第二行\n\n- 甲\n- 乙\n\n3. 丙\n4. 丁\n\n"
            "> 引用\n\n---\n\n```python\nprint('雾')\n```\n\n2 * 3 * 4 = 24，a_b_c"
        )
    )
    ask(page, "排版")
    answer(page, "complete")
    kinds = prose(page).evaluate("node => [...node.children].map(child => child.localName)")
    assert kinds == ["h3", "p", "ul", "ol", "blockquote", "hr", "figure", "p"]
    expect(prose(page).locator("strong")).to_have_text("重点")
    expect(prose(page).locator("figure code")).to_have_text("print('雾')")
    expect(prose(page).locator("ol")).to_have_attribute("start", "3")
    expect(prose(page).locator("p").last).to_have_text("2 * 3 * 4 = 24，a_b_c")


# --- writing ---


def test_enter_is_safe_while_an_input_method_composes(page: Page, mock_server: MockServer) -> None:
    page.fill("#prompt", "ni hao")
    page.dispatch_event("#prompt", "keydown", {"key": "Enter", "isComposing": True})
    page.dispatch_event("#prompt", "keydown", {"key": "Enter", "keyCode": 229})
    page.press("#prompt", "Shift+Enter")
    page.keyboard.type("第二行")
    expect(page.locator("#prompt")).to_have_value("ni hao\n第二行")
    assert mock_server.requests == []
    page.press("#prompt", "Enter")
    answer(page, "complete")
    expect(page.locator(".question-text")).to_have_text("ni hao\n第二行")


def test_a_draft_survives_a_reload(page: Page) -> None:
    page.fill("#prompt", "还没写完")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("还没写完")


# --- reading ---


def test_a_reader_above_is_left_in_peace(
    open_page: Callable[..., Page],
    relay: Callable[..., Any],
    app_server: Any,
    mock_server: MockServer,
) -> None:
    lines = "\n\n".join(f"第 {number} 行" for number in range(60))
    mock_server.script(Behaviour(text=lines), Behaviour(text=f"{lines}\n\n缝\n\n{lines}"))
    wire = relay(app_server.url, stop_within="缝")
    page = open_page(wire.url)
    scroll = page.locator("#scroll")
    ask(page, "一")
    answer(page, "complete")
    at_newest(page)
    ask(page, "二")
    answer(page, "streaming")
    expect(prose(page)).to_contain_text("第 59 行")
    scroll.evaluate("s => s.scrollTo(0, 100)")
    frames(page)
    wire.go_on()
    expect(page.locator("#newest")).to_be_visible()
    answer(page, "complete")
    assert scroll.evaluate("s => s.scrollTop") == 100
    page.click("#newest")
    expect(page.locator("#newest")).to_be_hidden()
    at_newest(page)


# --- about the model ---


def test_the_demo_says_that_it_is_one_and_how_to_change_that(page: Page) -> None:
    expect(page.locator(".dock-note")).to_contain_text("演示模型")
    page.click("#how-real")
    expect(page.locator("#model-dialog")).to_contain_text("DEEPSEEK_API_KEY")
    page.keyboard.press("Escape")
    expect(page.locator("#model-dialog")).to_be_hidden()
