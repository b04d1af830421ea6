"""Characters in a real browser: made with one click, watched while they are written, and edited."""

import json
from urllib.parse import quote

import pytest
from page_clock import stop_clock
from page_layout import assert_fits, settle
from playwright.sync_api import expect
from sheet_pages import (
    TEXT,
    about,
    card,
    edit,
    ended,
    full_profile,
    make,
    own_problems,
    save,
    saved,
    written,
)

from xwe.mock import Behaviour
from xwe.mock.rules import Rule

pytestmark = pytest.mark.browser

SAMPLES = {"zh-CN": "孙悟空", "en-GB": "Sherlock Holmes"}
HOSTILE = '<img src=x onerror="document.title=`hit`"><script>document.title="hit"</script>'


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("locale", SAMPLES)
def test_the_first_character_is_one_click(open_signed_in, assert_accessible, locale, width):
    page = open_signed_in(locale=locale, width=width, height=800)
    expect(page.locator("#empty")).to_be_visible()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.click("#sample")
    expect(page.locator("#name")).to_have_text(SAMPLES[locale])
    written(page)
    for each in page.locator(".category").all():
        expect(each.locator("dd").first).not_to_be_empty()
    expect(page.locator("#first-message")).not_to_be_empty()
    expect(page.locator(".quoted").first).to_be_visible()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.locator("[data-do=edit]").first.click()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.click(".bar a.square")
    expect(page.locator(".person-name")).to_have_text(SAMPLES[locale])
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.goto(page.url + "/new")
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    assert page.problems == []


@pytest.fixture
def held_story(serve, relay, model):
    """A server whose model is held within the background story, and what holds it."""
    story = json.dumps(full_profile("缝")["背景故事"], ensure_ascii=False)
    model.follow(Rule(about("背景故事"), Behaviour(text=story)))
    wire = relay(model.base_url, stop_within="缝")
    return serve(LLM_BASE_URL=f"{wire.url}/v1"), wire


def test_categories_fill_in_one_by_one_each_with_its_time(open_signed_in, held_story):
    server, wire = held_story
    page = open_signed_in(url=server.url)
    make(page)
    expect(page.locator(".category[data-state=done]")).to_have_count(7)
    late = card(page, "背景故事")
    expect(late).to_have_attribute("data-state", "running")
    expect(late).to_contain_text("撰写中")
    expect(card(page, "知识与能力").locator("dd").first).not_to_be_empty()
    expect(card(page, "知识与能力").locator(".category-told")).to_contain_text("秒")
    expect(page.locator("#making")).to_be_visible()
    wire.go_on()
    written(page)
    expect(late.locator(".category-told")).to_contain_text("秒")
    expect(page.locator("#status")).to_have_text("全部写好了。")


def test_a_reload_goes_on_watching(open_signed_in, held_story):
    server, wire = held_story
    page = open_signed_in(url=server.url)
    make(page)
    expect(page.locator(".category[data-state=done]")).to_have_count(7)
    page.reload()
    expect(page.locator("#making")).to_be_visible()
    expect(page.locator(".category[data-state=done]")).to_have_count(7)
    wire.go_on()
    written(page)


def test_a_failed_category_says_why_and_is_retried_by_itself(open_signed_in, model):
    model.follow(Rule(about("背景故事"), Behaviour(fault="status", status=401)))
    page = open_signed_in()
    make(page)
    failed = card(page, "背景故事")
    expect(failed).to_have_attribute("data-state", "error")
    expect(failed).to_contain_text("模型服务拒绝了密钥")
    expect(page.locator(".category[data-state=done]")).to_have_count(7)
    ended(page)
    page.reload()
    expect(failed).to_contain_text("模型服务拒绝了密钥")
    model.follow()
    model.forget_requests()
    failed.locator("[data-do=retry]").click()
    written(page)
    expect(failed.locator("dd").first).not_to_be_empty()
    assert len(model.requests) == 1
    assert own_problems(page) == []


def test_stopping_keeps_what_is_written_and_another_try_goes_on(open_signed_in, model):
    model.follow(Rule(about("背景故事"), Behaviour(fault="no_headers")))
    page = open_signed_in()
    make(page)
    expect(page.locator(".category[data-state=done]")).to_have_count(7)
    page.click("#cancel")
    expect(page.locator(".trouble")).to_contain_text("已停止")
    expect(page.locator("#making")).to_be_hidden()
    model.follow()
    page.click(".trouble [data-do=retry]")
    written(page)
    expect(page.locator(".trouble")).to_have_count(0)


def test_a_source_that_cannot_be_reached_says_what_to_do(open_signed_in, model):
    model.follow(Rule(lambda _: True, Behaviour(fault="no_headers")))
    page = open_signed_in("/characters/new")
    page.locator("[name=source][value=zhwiki]").check()
    expect(page.locator("[name=text]")).to_be_hidden()
    task = {
        "id": 1,
        "kind": "character",
        "status": "error",
        "progress": 5,
        "message": "",
        "elapsed_sec": 1,
        "detail": {"来源": {"state": "error", "error": "source_unavailable"}},
    }
    page.route(
        "**/api/tasks/*/events",
        lambda route: route.fulfill(
            content_type="text/event-stream", body=f"id: 1\ndata: {json.dumps(task)}\n\n"
        ),
    )
    page.route(  # nothing is fetched from the real site by a test
        "**/api/characters",
        lambda route: route.continue_(post_data={"role": "某人", "source": "text", "text": TEXT}),
    )
    page.fill("[name=role]", "某人")
    page.click("#make button[type=submit]")
    expect(page.locator(".trouble")).to_contain_text("请改为粘贴文字")


def test_a_category_is_edited_and_stays_edited(open_signed_in):
    page = open_signed_in()
    make(page)
    written(page)
    story = card(page, "背景故事")
    story.locator("[data-do=edit]").click()
    expect(story.locator("textarea").first).to_be_focused()
    story.locator("[name=经历]").fill("拜师学艺\n\n 大闹天宫 ")
    story.locator("[name=秘密]").fill(HOSTILE)
    story.locator("button[type=submit]").click()
    expect(story.locator("form")).to_have_count(0)
    page.reload()
    experiences = story.locator(".fact", has=page.locator("dt", has_text="经历"))
    expect(experiences.locator("li")).to_have_text(["拜师学艺", "大闹天宫"])
    expect(story).to_contain_text("<img src=x onerror=")
    assert page.title() == "孙悟空 · xwe"
    assert page.problems == []


def test_an_edit_of_what_was_changed_elsewhere_asks_whose_counts(open_signed_in):
    page = open_signed_in()
    make(page)
    written(page)
    other = page.context.new_page()
    other.goto(page.url)
    written(other)
    page.bring_to_front()
    first = edit(page, "知识与能力", "技能", "七十二变")
    save(first)
    saved(first)
    other.bring_to_front()
    second = edit(other, "知识与能力", "技能", "筋斗云")
    save(second)
    conflict = second.locator(".edit-conflict")
    expect(conflict).to_be_visible()
    conflict.locator("[data-do=mine]").click()
    saved(second)
    page.reload()
    expect(card(page, "知识与能力")).to_contain_text("筋斗云")


def test_deleting_is_undone(open_signed_in):
    page = open_signed_in()
    make(page)
    written(page)
    stop_clock(page)
    page.click("#remove")
    expect(page.locator(".toast")).to_contain_text("已删除孙悟空")
    expect(page.locator("#empty")).to_be_visible()
    page.click(".toast-act")
    expect(page.locator(".person-name")).to_have_text("孙悟空")
    page.click("[data-do=remove]")
    expect(page.locator("#empty")).to_be_visible()
    page.click(".toast-act")
    expect(page.locator(".person-name")).to_have_text("孙悟空")
    assert page.problems == []


def test_renaming_and_copying_lead_to_the_new_address(open_signed_in):
    page = open_signed_in()
    make(page)
    written(page)
    page.click("#rename")
    page.fill("[name=new_name]", "齐天大圣")
    page.press("[name=new_name]", "Enter")
    # The name is there before the page of its own address is.
    page.wait_for_url(lambda address: quote("齐天大圣") in address)
    written(page)
    page.click("#copy")
    expect(page.locator("#name")).to_have_text("齐天大圣 2")
    written(page)
    page.click("#rename")
    page.fill("[name=new_name]", "齐天大圣")
    page.press("[name=new_name]", "Enter")
    expect(page.locator("#rename-problem")).to_contain_text("同名")
    assert own_problems(page) == []


def test_a_file_is_read_and_what_is_missing_is_said(open_signed_in):
    page = open_signed_in("/characters/new")
    page.click("#make button[type=submit]")
    expect(page.locator("#problem")).to_have_text("请填写名字。")
    expect(page.locator("[name=role]")).to_be_focused()
    file = {"name": "悟空.md", "mimeType": "text/markdown", "buffer": TEXT.encode()}
    page.set_input_files("[name=file]", file)
    expect(page.locator("[name=text]")).to_have_value(TEXT)
    expect(page.locator("[name=role]")).to_have_value("悟空")
    expect(page.locator("#count")).to_contain_text(str(len(TEXT)))
    page.click("#make button[type=submit]")
    expect(page.locator("#name")).to_have_text("悟空")


def test_a_name_that_is_taken_is_said_beside_the_form(open_signed_in):
    page = open_signed_in()
    make(page)
    written(page)
    page.goto(page.url.partition("/characters")[0] + "/characters/new")
    page.fill("[name=role]", "孙悟空")
    page.fill("[name=text]", TEXT)
    page.click("#make button[type=submit]")
    expect(page.locator("#problem")).to_contain_text("同名")
    expect(page.locator("[name=text]")).to_have_value(TEXT)


def test_memories_are_edited_a_line_each(open_signed_in):
    page = open_signed_in()
    make(page)
    written(page)
    page.fill("[name=long_term]", "师父是唐僧\n\n住在花果山")
    page.click("#memories fieldset button")
    expect(page.locator("#memories .saved")).to_have_text("已保存。")
    page.reload()
    expect(page.locator("[name=long_term]")).to_have_value("师父是唐僧\n住在花果山")


def test_memories_that_are_not_there_yet_cannot_be_written_over(open_signed_in):
    page = open_signed_in()
    make(page)
    written(page)
    page.fill("[name=long_term]", "师父是唐僧")
    page.click("#memories fieldset button")
    expect(page.locator("#memories .saved")).to_have_text("已保存。")

    page.route("**/memories", lambda route: route.abort())
    page.reload()
    expect(page.locator("#memories .trouble")).to_contain_text("连不上服务器")
    expect(page.locator("[name=long_term]")).to_be_disabled()
    expect(page.locator("#memories fieldset button")).to_be_disabled()

    page.unroute("**/memories")
    page.click("#memories .trouble [data-do=retry]")
    expect(page.locator("[name=long_term]")).to_have_value("师父是唐僧")
    expect(page.locator("[name=long_term]")).to_be_enabled()
    expect(page.locator("#memories .trouble")).to_have_count(0)


def test_the_list_says_when_it_cannot_be_read(open_signed_in):
    page = open_signed_in()
    page.route("**/api/characters", lambda route: route.abort())
    page.reload()
    expect(page.locator(".trouble")).to_contain_text("连不上服务器")
    page.unroute("**/api/characters")
    page.click(".trouble [data-do=retry]")
    expect(page.locator("#empty")).to_be_visible()


def test_the_pages_are_readable_in_the_dark(open_signed_in, assert_accessible):
    page = open_signed_in(width=390)
    page.evaluate("localStorage.setItem('xwe.theme', 'dark')")
    make(page)
    written(page)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    settle(page)
    assert_accessible(page)
