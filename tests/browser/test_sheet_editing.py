"""Editing a sheet: what somebody has written is not lost, whatever happens elsewhere."""

from collections.abc import Callable

import pytest
from chat_reader import Reader
from page_layout import assert_fits, settle
from playwright.sync_api import Page, expect
from sheet_pages import (
    card,
    edit,
    full_profile,
    open_sheet,
    own_problems,
    save,
    saved,
    second_page,
)

pytestmark = pytest.mark.browser

STORY, SKILLS, GOALS = "背景故事", "知识与能力", "任务/功能性信息"


def field_text(page: Page, category: str, field: str) -> object:
    fact = card(page, category).locator(".fact", has=page.locator("dt", has_text=field))
    return fact.locator("dd")


def would_stop_leaving(page: Page) -> bool:
    return page.evaluate(
        "() => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    )


@pytest.mark.usefixtures("model")
def test_an_edit_knows_what_it_began_with_whatever_the_page_reads_meanwhile(
    reader: Reader,
) -> None:
    page = open_sheet(reader)
    mine = edit(page, SKILLS, "技能", "七十二变")
    other = second_page(page)
    theirs = edit(other, SKILLS, "技能", "筋斗云")
    save(theirs)
    saved(theirs)

    card(page, STORY).locator("[data-do=retry]").click()
    expect(page.locator(".toast")).to_contain_text(STORY)  # it is written anew, and the sheet read
    save(mine)
    expect(mine.locator(".edit-conflict")).to_be_visible()
    mine.locator("[data-do=theirs]").click()
    saved(mine)
    expect(field_text(page, SKILLS, "技能")).to_contain_text("筋斗云")
    assert own_problems(page) == []


def test_what_has_changed_elsewhere_on_the_sheet_is_no_conflict(reader: Reader) -> None:
    page = open_sheet(reader)
    mine = edit(page, SKILLS, "技能", "七十二变")
    other = second_page(page)
    theirs = edit(other, STORY, "秘密", "怕烟")
    save(theirs)
    saved(theirs)
    save(mine)
    saved(mine)
    expect(field_text(page, STORY, "秘密")).to_have_text("怕烟")
    page.reload()
    expect(field_text(page, SKILLS, "技能")).to_contain_text("七十二变")
    expect(field_text(page, STORY, "秘密")).to_have_text("怕烟")


def test_an_edit_is_given_up_only_once_the_other_text_has_come(reader: Reader) -> None:
    page = open_sheet(reader)
    mine = edit(page, SKILLS, "技能", "七十二变")
    other = second_page(page)
    theirs = edit(other, SKILLS, "技能", "筋斗云")
    save(theirs)
    saved(theirs)
    save(mine)
    expect(mine.locator(".edit-conflict")).to_be_visible()

    page.route("**/structured", lambda route: route.abort())
    mine.locator("[data-do=theirs]").click()
    expect(mine.locator(".form-problem")).to_contain_text("连不上服务器")
    expect(mine.locator("[name=技能]")).to_have_value("七十二变")

    page.unroute("**/structured")
    save(mine)
    mine.locator("[data-do=theirs]").click()
    saved(mine)
    expect(field_text(page, SKILLS, "技能")).to_contain_text("筋斗云")


def test_marks_of_what_was_not_edited_stay(reader: Reader) -> None:
    page = open_sheet(reader, profile=full_profile("石头"), source_text="他从石头里出生。")
    part = card(page, STORY)
    all_of_it = part.locator(".quoted").count()
    assert all_of_it > 1
    edit(page, STORY, "秘密", "怕烟")
    save(part)
    saved(part)
    expect(part.locator(".quoted")).to_have_count(all_of_it - 1)
    expect(part.locator(".fact", has_text="怕烟").locator(".quoted")).to_have_count(0)
    page.reload()
    expect(part.locator(".quoted")).to_have_count(all_of_it - 1)


def test_leaving_asks_while_something_has_not_been_saved(reader: Reader) -> None:
    page = open_sheet(reader)
    expect(page.locator("[name=long_term]")).to_be_enabled()
    part = card(page, STORY)
    part.locator("[data-do=edit]").click()
    assert not would_stop_leaving(page)
    part.locator("[name=秘密]").fill("怕烟")
    assert would_stop_leaving(page)
    save(part)
    saved(part)
    assert not would_stop_leaving(page)

    page.fill("[name=long_term]", "师父是唐僧")
    assert would_stop_leaving(page)
    page.click("#memories fieldset button")
    expect(page.locator("#memories .saved")).to_have_text("已保存。")
    assert not would_stop_leaving(page)
    page.fill("[name=long_term]", "师父是唐僧，法号三藏")
    expect(page.locator("#memories .saved")).to_have_text("")


@pytest.mark.usefixtures("model")
def test_what_was_written_by_hand_comes_back_after_it_was_written_anew(reader: Reader) -> None:
    page = open_sheet(reader)
    part = edit(page, STORY, "秘密", "怕烟")
    save(part)
    saved(part)
    for _ in range(2):
        part.locator("[data-do=retry]").click()
        expect(part).to_be_focused()  # its button is gone
        expect(part).to_have_attribute("data-state", "done")
        expect(page.locator(".toast")).to_have_count(1)
    expect(part).not_to_contain_text("怕烟")
    page.click(".toast-act")
    expect(part).to_contain_text("怕烟")
    expect(part).to_be_focused()
    page.reload()
    expect(part).to_contain_text("怕烟")
    assert page.problems == []


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_what_can_be_undone_fits(
    sign_up: Callable[..., Reader],
    chat_server: object,
    assert_accessible: Callable[[Page], None],
    locale: str,
    width: int,
) -> None:
    reader = sign_up(chat_server.url, locale=locale, width=width)
    page = open_sheet(reader)
    card(page, GOALS).locator("[data-do=retry]").click()
    expect(page.locator(".toast")).to_be_visible()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.click(".toast [data-do=close]")
    expect(page.locator(".toast")).to_have_count(0)
