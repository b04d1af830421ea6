"""What the eight cards say: it is so, while several are written, after a stop, after a reload."""

import json
from typing import Any

import pytest
from chat_reader import Reader
from held_requests import hold, wait_for
from page_clock import stop_clock
from playwright.sync_api import Page, Route, expect
from sheet_pages import (
    LOOKED_AWAY,
    TEXT,
    about,
    card,
    ended,
    make,
    open_sheet,
    own_problems,
    written,
)

from xwe.mock import Behaviour, MockServer
from xwe.mock.rules import Rule

pytestmark = pytest.mark.browser

STORY, SKILLS = "背景故事", "知识与能力"
NEVER = Behaviour(fault="no_headers")
EVERYTHING = Rule(lambda _: True, NEVER)


def state(page: Page, category: str, wanted: str) -> None:
    expect(card(page, category)).to_have_attribute("data-state", wanted)


def seven_done(page: Page) -> None:
    expect(page.locator(".category[data-state=done]")).to_have_count(7)


def task(**about_it: Any) -> dict[str, Any]:
    told = {"id": 1, "kind": "character", "progress": 5, "message": "", "elapsed_sec": 1}
    return told | {"detail": {}} | about_it


def test_two_that_are_written_at_once_each_tell_of_themselves(
    reader: Reader, model: MockServer
) -> None:
    page = open_sheet(reader)
    model.follow(Rule(about(STORY), NEVER))
    card(page, STORY).locator("[data-do=retry]").click()
    state(page, STORY, "running")
    card(page, SKILLS).locator("[data-do=retry]").click()
    expect(page.locator(".toast")).to_contain_text(SKILLS)
    state(page, SKILLS, "done")
    state(page, STORY, "running")
    expect(page.locator("#making-message")).to_have_text(f"正在撰写：{STORY}")
    page.click("#cancel")
    expect(page.locator("#making")).to_be_hidden()
    state(page, STORY, "done")
    expect(page.locator("#status")).to_have_text("已停止")
    assert page.problems == []


def test_one_that_was_mended_has_not_failed_after_a_reload(
    open_signed_in: Any, model: MockServer
) -> None:
    model.follow(Rule(about(STORY), Behaviour(fault="status", status=401)))
    page = open_signed_in()
    make(page)
    state(page, STORY, "error")
    ended(page)
    model.follow()
    card(page, STORY).locator("[data-do=retry]").click()
    written(page)
    page.reload()
    # The last task's record tells how long the others took, and why this one was missing.
    expect(card(page, SKILLS).locator(".category-told")).to_contain_text("秒")
    state(page, STORY, "done")
    expect(card(page, STORY).locator(".category-trouble")).to_be_empty()


def test_what_was_stopped_can_be_written_by_hand_or_tried_again(
    open_signed_in: Any, model: MockServer
) -> None:
    model.follow(Rule(about(STORY), NEVER))
    page = open_signed_in()
    make(page)
    seven_done(page)
    page.click("#cancel")
    part = card(page, STORY)
    state(page, STORY, "missing")
    expect(part.locator(".category-told")).to_have_text("未写成")
    expect(page.locator("#nothing")).to_be_hidden()
    page.reload()
    state(page, STORY, "missing")
    expect(page.locator(".trouble")).to_contain_text("已停止")
    expect(part.locator("[data-do=retry]")).to_be_visible()
    part.locator("[data-do=edit]").click()
    part.locator("[name=秘密]").fill("怕烟")
    part.locator("button[type=submit]").click()
    state(page, STORY, "done")
    expect(part).to_contain_text("怕烟")


def test_a_character_of_whom_nothing_could_be_had_makes_room_for_one_from_a_text(
    open_signed_in: Any, model: MockServer
) -> None:
    model.follow(EVERYTHING)
    page = open_signed_in()
    failed = task(status="error", detail={"来源": {"state": "error", "error": "source_not_found"}})

    def fail(route: Route) -> None:
        body = f"id: 1\ndata: {json.dumps(failed)}\n\n"
        route.fulfill(content_type="text/event-stream", body=body)

    page.route("**/api/tasks/*/events", fail)
    make(page)
    expect(page.locator(".trouble")).to_contain_text("没有这个标题")
    expect(page.locator(".category[data-state=missing]")).to_have_count(8)
    page.unroute("**/api/tasks/*/events")
    model.follow()

    page.click("#paste")
    expect(page.locator("[name=role]")).to_have_value("孙悟空")
    expect(page.locator("#in-place-of")).to_contain_text("取代")
    page.reload()
    expect(page.locator("#in-place-of")).to_contain_text("取代")
    page.fill("[name=text]", TEXT)
    page.click("#make button[type=submit]")
    expect(page.locator("#name")).to_have_text("孙悟空")
    written(page)
    page.goto(page.url.partition("/characters")[0] + "/characters")
    expect(page.locator(".person-name")).to_have_text("孙悟空")
    assert own_problems(page) == []


def test_the_progress_is_told_in_the_readers_language(
    open_signed_in: Any, model: MockServer
) -> None:
    model.follow(EVERYTHING)
    page = open_signed_in("/characters/new")
    page.locator("[name=language][value=en]").check()
    page.fill("[name=role]", "Holmes")
    page.fill("[name=text]", "A detective in London.")
    page.click("#make button[type=submit]")
    expect(page.locator("#name")).to_have_text("Holmes")
    expect(page.locator("#making-message")).to_have_text("各部分同时撰写中，已完成 0 / 8")


@pytest.mark.usefixtures("model")
def test_who_looks_elsewhere_is_told_that_a_sheet_is_written(reader: Reader) -> None:
    page = open_sheet(reader)
    title = page.title()
    held = hold(page, "**/api/tasks/*/events")
    card(page, STORY).locator("[data-do=retry]").click()
    watching = wait_for(page, held)
    page.evaluate(LOOKED_AWAY)
    watching.continue_()
    expect(page).to_have_title(f"● {title}")
    (told,) = page.evaluate("window.told")
    assert (told["heading"], told["body"]) == ("孙悟空", "全部写好了。")


def test_the_end_is_told_on_whichever_page_the_reader_is(
    open_signed_in: Any, model: MockServer
) -> None:
    model.follow(EVERYTHING)
    page = open_signed_in()
    make(page)
    state(page, STORY, "running")
    over = task(status="done", result={"role": "孙悟空", "failed": []})
    page.route("**/api/tasks/*", lambda route: route.fulfill(json=over))
    stop_clock(page)
    page.goto(page.url.partition("/characters")[0] + "/playground")
    expect(page.locator(".toast")).to_contain_text("孙悟空写好了。")
    kept = page.evaluate("Object.keys(localStorage).filter((name) => name.endsWith('.tasks'))")
    assert kept == []  # it is told once
    page.click(".toast a")
    expect(page.locator("#name")).to_have_text("孙悟空")
    assert page.problems == []
