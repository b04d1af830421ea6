"""Characters' pages in a real browser: what is made there, and where its parts are."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from chat_reader import Reader
from playwright.sync_api import Locator, Page, expect

from xwe.services.characters.categories import PROFILE_CATEGORIES
from xwe.storage.repositories import characters

TEXT = "孙悟空从石头里出生，会七十二般变化。他性子急，好胜。他怕烟熏眼睛。"

# A browser without a window is always looked at, and its system has no place for notifications.
LOOKED_AWAY = """() => {
  Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
  window.told = [];
  window.Notification = class {
    static permission = "granted";
    constructor(heading, options) { window.told.push({ heading, ...options }); }
    close() {}
  };
}"""


def about(name: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a question is about this category."""
    return lambda body: any(
        f"“{name}”" in m["content"].partition("\n")[0] for m in body["messages"]
    )


def card(page: Page, name: str) -> Locator:
    return page.locator(".category", has=page.locator("h2", has_text=name))


def make(page: Page, name: str = "孙悟空", text: str = TEXT) -> None:
    page.goto(page.url.partition("/characters")[0] + "/characters/new")
    page.fill("[name=role]", name)
    page.fill("[name=text]", text)
    page.click("#make button[type=submit]")
    expect(page.locator("#name")).to_have_text(name)


def written(page: Page) -> None:
    """Wait until the sheet is there, and the task has ended that has written it."""
    expect(page.locator(".category[data-state=done]")).to_have_count(8)
    # In this order: it is hidden as well before the page's script knows of the task.
    ended(page)


def ended(page: Page) -> None:
    """Wait until nothing is written any more: until then a part of it cannot be asked for."""
    expect(page.locator("#making")).to_be_hidden()


def own_problems(page: Page) -> list[str]:
    """A refused request is reported by the browser itself; nothing else may complain."""
    return [each for each in page.problems if "Failed to load resource" not in each]


def full_profile(text: str = "不详") -> dict[str, Any]:
    """A Chinese sheet on which every field says the same."""
    return {
        category.name: {
            field: [text] if field in category.lists else text for field in category.fields
        }
        for category in PROFILE_CATEGORIES["zh"]
    }


def open_sheet(
    reader: Reader,
    name: str = "孙悟空",
    *,
    profile: dict[str, Any] | None = None,
    source_text: str = "",
) -> Page:
    """The sheet of a character that is stored as it is, without having been written."""
    with reader.database.write() as writing:
        characters.create(
            writing,
            user_id=reader.id,
            name=name,
            profile=full_profile() if profile is None else profile,
            source_text=source_text,
            first_message="你好",
        )
    reader.page.goto(f"{reader.url}/characters/{quote(name)}")
    expect(reader.page.locator(".category")).to_have_count(8)
    return reader.page


def second_page(page: Page) -> Page:
    """The same address in another tab."""
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator(".category")).to_have_count(8)
    return other


def edit(page: Page, category: str, field: str, text: str) -> Locator:
    """Begin to edit a category; its card."""
    part = card(page, category)
    part.locator("[data-do=edit]").click()
    part.locator(f"[name='{field}']").fill(text)
    return part


def save(part: Locator) -> None:
    part.locator("button[type=submit]").click()


def saved(part: Locator) -> None:
    expect(part.locator("form")).to_have_count(0)
