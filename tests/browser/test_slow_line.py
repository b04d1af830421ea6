"""On a slow line each press is seen to have been taken, and counts once."""

import pytest
from chat_reader import WUKONG, Reader, answer, ask, settled
from held_requests import hold, wait_for
from playwright.sync_api import Locator, Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser


@pytest.fixture
def sheet(reader: Reader) -> Page:
    reader.make()
    reader.page.goto(f"{reader.url}/characters/{WUKONG}")
    expect(reader.page.locator("#memories fieldset")).to_be_enabled()
    return reader.page


def assert_at_work(button: Locator) -> None:
    expect(button).to_have_attribute("aria-busy", "true")
    look = button.evaluate(
        "node => [getComputedStyle(node).opacity, getComputedStyle(node, '::before').animationName]"
    )
    assert look == ["0.6", "spin"]


def test_a_new_name_is_sent_once(sheet: Page) -> None:
    sent = hold(sheet, "**/rename")
    sheet.click("#rename")
    sheet.fill("#rename-form input", "齐天大圣")
    sheet.press("#rename-form input", "Enter")
    assert_at_work(sheet.locator("#rename-form [type=submit]"))
    sheet.press("#rename-form input", "Enter")
    wait_for(sheet, sent).continue_()
    expect(sheet).to_have_title("齐天大圣 · xwe")
    assert len(sent) == 1
    assert sheet.problems == []


@pytest.mark.parametrize("name", ["A/B", "a\\b", "new", "..", "  "])
def test_a_name_that_no_address_can_hold_is_not_sent(sheet: Page, name: str) -> None:
    sheet.route("**/api/**", lambda route: route.abort())
    told = "请填写名字。" if not name.strip() else "不能含有斜线"
    sheet.click("#rename")
    sheet.fill("#rename-form input", name)
    sheet.press("#rename-form input", "Enter")
    expect(sheet.locator("#rename-problem")).to_contain_text(told)
    sheet.goto(sheet.url.replace(sheet.url.rsplit("/", 1)[1], "new"))
    sheet.fill("[name=role]", name)
    sheet.fill("[name=text]", "一段文字")
    sheet.press("[name=role]", "Enter")
    expect(sheet.locator("#problem")).to_contain_text(told)


def test_a_copy_is_made_once_and_its_button_keeps_the_focus(sheet: Page) -> None:
    sent = hold(sheet, "**/copy")
    sheet.locator("#copy").focus()
    sheet.keyboard.press("Enter")
    assert_at_work(sheet.locator("#copy"))
    expect(sheet.locator("#copy")).to_be_focused()
    sheet.keyboard.press("Enter")
    wait_for(sheet, sent).abort()
    expect(sheet.locator("#copy")).not_to_have_attribute("aria-busy", "true")
    expect(sheet.locator("#trouble .trouble-title")).to_have_text("连不上服务器")
    assert len(sent) == 1


def test_a_character_that_is_gone_is_told_to_be(sheet: Page, reader: Reader) -> None:
    reply = sheet.context.request.delete(
        f"{reader.url}/api/characters/{WUKONG}", headers={"Origin": reader.url}
    )
    assert reply.ok
    sheet.click("#copy")
    expect(sheet.locator("#trouble .trouble-title")).to_have_text("这个角色已经不在了")


def test_another_variant_is_asked_for_once(chat: Page, mock_server: MockServer) -> None:
    mock_server.script(Behaviour(text="第一"), Behaviour(text="第二"))
    ask(chat, "再说一遍")
    answer(chat, "complete")
    chat.click("[data-do=again]")
    expect(chat.locator(".variant-place")).to_have_text("2/2")
    settled(chat)
    sent = hold(chat, "**/select")
    chat.click("[data-do=earlier]")
    assert_at_work(chat.locator("[data-do=earlier]"))
    chat.locator("[data-do=earlier]").click(force=True)
    wait_for(chat, sent).continue_()
    expect(chat.locator(".variant-place")).to_have_text("1/2")
    expect(chat.locator(".answer .prose")).to_have_text("第一")
    assert len(sent) == 1


def test_a_spinner_stands_still_for_who_wants_it_so(sheet: Page) -> None:
    sheet.emulate_media(reduced_motion="reduce")
    hold(sheet, "**/copy")
    sheet.click("#copy")
    expect(sheet.locator("#copy")).to_have_attribute("aria-busy", "true")
    drawn = "node => getComputedStyle(node, '::before').animationName"
    assert sheet.locator("#copy").evaluate(drawn) == "none"
