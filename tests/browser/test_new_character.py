"""A new character: what is typed is kept, and a file is read in whatever encoding it is."""

from collections.abc import Callable

import pytest
from page_layout import assert_fits, settle
from playwright.sync_api import Page, expect
from sheet_pages import TEXT, own_problems, written

pytestmark = pytest.mark.browser

NEW = "/characters/new"


def upload(page: Page, content: bytes) -> None:
    file = {"name": "悟空.txt", "mimeType": "text/plain", "buffer": content}
    page.set_input_files("[name=file]", file)


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16", "utf-8-sig", "utf-8"])
def test_a_file_is_read_in_the_encoding_that_it_is_in(
    open_signed_in: Callable[..., Page], encoding: str
) -> None:
    page = open_signed_in(NEW)
    upload(page, TEXT.encode(encoding))
    expect(page.locator("[name=text]")).to_have_value(TEXT)
    expect(page.locator("[name=role]")).to_have_value("悟空")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\xff\xff", b"\xff\xfe\x00\xd8", b"PK\x03\x04\x00\x00"]
)
def test_a_file_that_is_no_text_is_refused_and_nothing_is_taken(
    open_signed_in: Callable[..., Page], content: bytes
) -> None:
    page = open_signed_in(NEW)
    page.fill("[name=text]", TEXT)
    upload(page, content)
    expect(page.locator("#problem")).to_contain_text("UTF-8")
    expect(page.locator("[name=text]")).to_have_value(TEXT)
    expect(page.locator("[name=role]")).to_have_value("")


def test_what_is_typed_outlives_a_reload_and_another_language_until_it_is_sent(
    open_signed_in: Callable[..., Page],
) -> None:
    page = open_signed_in(NEW)
    page.fill("[name=role]", "悟空")
    page.fill("[name=text]", TEXT)
    page.reload()
    expect(page.locator("[name=role]")).to_have_value("悟空")
    page.click(".languages a")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("[name=role]")).to_have_value("悟空")
    expect(page.locator("[name=text]")).to_have_value(TEXT)
    page.click("#make button[type=submit]")
    expect(page.locator("#name")).to_have_text("悟空")
    page.goto(page.url.partition("/characters")[0] + NEW)
    expect(page.locator("#make")).to_have_attribute("data-state", "ready")
    expect(page.locator("[name=role]")).to_have_value("")
    expect(page.locator("[name=text]")).to_have_value("")
    assert page.problems == []


def test_a_draft_that_finds_no_room_does_not_leave_an_older_one(
    open_signed_in: Callable[..., Page],
) -> None:
    page = open_signed_in(NEW)
    page.fill("[name=role]", "悟空")
    page.reload()
    expect(page.locator("[name=role]")).to_have_value("悟空")
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    page.fill("[name=role]", "八戒")
    page.reload()
    expect(page.locator("#make")).to_have_attribute("data-state", "ready")
    expect(page.locator("[name=role]")).to_have_value("")
    assert page.problems == []


@pytest.mark.parametrize("width", [1280, 320])
def test_a_sample_can_have_another_name(
    open_signed_in: Callable[..., Page], assert_accessible: Callable[[Page], None], width: int
) -> None:
    page = open_signed_in(width=width)
    page.click("#sample")
    written(page)
    page.goto(page.url.partition("/characters")[0] + NEW)
    page.locator("[name=source][value=sample]").check()
    expect(page.locator("[name=role]")).to_have_value("孙悟空")
    page.click("#make button[type=submit]")
    expect(page.locator("#problem")).to_contain_text("同名")
    expect(page.locator("[name=role]")).to_be_focused()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.fill("[name=role]", "齐天大圣")
    page.click("#make button[type=submit]")
    expect(page.locator("#name")).to_have_text("齐天大圣")
    assert own_problems(page) == []


def test_a_samples_name_goes_with_the_sample(open_signed_in: Callable[..., Page]) -> None:
    page = open_signed_in(NEW)
    page.locator("[name=source][value=sample]").check()
    expect(page.locator("[name=role]")).to_have_value("孙悟空")
    page.locator("[name=language][value=en]").check()
    expect(page.locator("[name=role]")).to_have_value("Sherlock Holmes")
    page.locator("[name=source][value=text]").check()
    expect(page.locator("[name=role]")).to_have_value("")
    page.fill("[name=role]", "悟空")
    page.locator("[name=source][value=sample]").check()
    expect(page.locator("[name=role]")).to_have_value("悟空")
