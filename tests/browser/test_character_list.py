"""The list of characters: what is deleted comes back, and the keyboard keeps its place."""

from collections.abc import Callable

import pytest
from chat_reader import Reader
from page_clock import stop_clock
from page_layout import assert_fits, settle
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

NAMES = ("甲", "乙", "丙")
LONG = "一个名字很长很长的人" * 6


def open_list(reader: Reader, *names: str) -> Page:
    for name in names:
        reader.make(name)
    reader.page.goto(f"{reader.url}/characters")
    expect(reader.page.locator(".person-name")).to_have_count(len(names))
    return reader.page


def person(page: Page, name: str) -> object:
    return page.locator(f".person[data-role='{name}']")


def test_each_deletion_is_undone_by_itself(reader: Reader) -> None:
    stop_clock(reader.page)
    page = open_list(reader, *NAMES)
    for left, name in ((2, "甲"), (1, "丙")):
        person(page, name).locator("[data-do=remove]").click()
        expect(page.locator(".person-name")).to_have_count(left)
    expect(page.locator(".toast-text")).to_have_text(["已删除甲。", "已删除丙。"])
    for name in ("甲", "丙"):
        page.locator(".toast", has_text=name).locator(".toast-act").click()
        expect(person(page, name).locator(".person-name")).to_be_focused()
    expect(page.locator(".person-name")).to_have_count(3)
    expect(page.locator(".toast")).to_have_count(0)
    assert page.problems == []


def test_after_a_deletion_the_keyboard_is_where_it_was(reader: Reader) -> None:
    page = open_list(reader, *NAMES)
    first, second, third = page.locator(".person-name").all_text_contents()
    page.locator("[data-do=remove]").nth(1).press("Enter")
    expect(page.locator(".person-name")).to_have_count(2)
    expect(person(page, third).locator(".person-name")).to_be_focused()
    page.locator("[data-do=remove]").nth(1).press("Enter")
    expect(page.locator(".person-name")).to_have_count(1)
    expect(person(page, first).locator(".person-name")).to_be_focused()
    page.locator("[data-do=remove]").press("Enter")
    expect(page.locator("#sample")).to_be_focused()
    assert second != third


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_a_long_name_leaves_the_date_alone(
    sign_up: Callable[..., Reader], chat_server: object, width: int
) -> None:
    page = open_list(sign_up(chat_server.url, width=width), LONG)
    settle(page)
    assert_fits(page)
    lines = page.evaluate(
        """() => {
          const words = document.createRange();
          words.selectNodeContents(document.querySelector(".person-name"));
          const name = words.getBoundingClientRect();
          const below = document.querySelector(".person-when").getBoundingClientRect();
          return [name.height, below.top - name.bottom];
        }"""
    )
    assert lines[0] > 40  # more than one line of it
    assert lines[1] >= 0
