"""What holds for every page: it fits, speaks the reader's language, and keeps nobody out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from page_layout import assert_fits, settle
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

LONG_WORD = "x" * 300


@dataclass(frozen=True)
class Kind:
    """A page, how it is brought to life, and its heading in both languages."""

    path: str
    use: Callable[[Page], None]
    zh: str
    en: str


def use_chat(page: Page) -> None:
    for question, state in ((LONG_WORD, "complete"), ("hi", "failed")):
        page.fill("#prompt", question)
        page.press("#prompt", "Enter")
        expect(page.locator(".answer").last).to_have_attribute("data-state", state)


def use_stream(page: Page) -> None:
    for _ in range(2):
        page.click("#read")
        expect(page.locator("#read")).to_be_visible()
    expect(page.locator(".trouble")).to_be_visible()


def use_playground(page: Page) -> None:
    page.locator("#users").fill("2")
    page.click("#run")
    expect(page.locator(".trouble")).to_be_visible()
    page.locator("#figures summary").click()


def use_tools(page: Page) -> None:
    for mode, ended in (("preemptive", "complete"), ("sync", "failed")):
        page.locator(f"[name=mode][value={mode}]").check()
        page.click("[data-do=run]:visible")
        expect(page.locator(".run")).to_have_attribute("data-mode", mode)
        expect(page.locator(".run")).to_have_attribute("data-state", ended)
        for call in page.locator(".call summary").all():
            call.click()


def use_system(page: Page) -> None:
    expect(page.locator("#main")).to_have_attribute("data-state", "shown")


KINDS = [
    Kind("/", use_chat, "对话", "Conversation"),
    Kind("/stream", use_stream, "纯文本流", "Plain text stream"),
    Kind("/playground", use_playground, "试验场", "Playground"),
    Kind("/tools", use_tools, "工具实验室", "Tools lab"),
    Kind("/system", use_system, "系统", "System"),
]
every_page = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)


OpenOn = Callable[..., Page]


@pytest.fixture
def open_on(open_page: Callable[..., Page], app_server: Any) -> OpenOn:
    """Opens a path of the application."""
    return lambda path="/", **options: open_page(app_server.url + path, **options)


@pytest.fixture
def spoken(mock_server: MockServer) -> None:
    """The first answer has words that no line can hold; the second is an error."""
    text = f"桥\n\n{LONG_WORD}\n\n```\n{LONG_WORD}\n```"
    failure = Behaviour(fault="status", status=401)
    mock_server.script(Behaviour(text=text, reasoning=LONG_WORD), failure)


@every_page
@pytest.mark.usefixtures("spoken")
@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_a_page_fits_is_accessible_and_speaks_the_readers_language(
    open_on: OpenOn, assert_accessible: Callable[[Page], None], kind: Kind, locale: str, width: int
) -> None:
    page = open_on(kind.path, locale=locale, width=width, height=700)
    expect(page.locator("h1")).to_have_text(kind.zh if locale == "zh-CN" else kind.en)
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN" if locale == "zh-CN" else "en")
    assert_fits(page)
    kind.use(page)
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    # A refused request is reported by the browser itself; nothing else may complain.
    assert [each for each in page.problems if "Failed to load resource" not in each] == []


@every_page
@pytest.mark.usefixtures("spoken")
def test_a_page_is_accessible_in_the_dark(
    open_on: OpenOn, assert_accessible: Callable[[Page], None], kind: Kind
) -> None:
    page = open_on(kind.path, width=390)
    page.evaluate("localStorage.setItem('xwe.theme', 'dark')")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    kind.use(page)
    settle(page)
    assert_accessible(page)


def test_the_rail_is_a_drawer_on_a_phone(open_on: OpenOn) -> None:
    page = open_on(width=390, locale="en-GB")
    rail = page.locator("#rail")
    expect(rail).to_be_hidden()
    page.locator(".menu").focus()
    page.keyboard.press("Enter")
    expect(rail).to_be_visible()
    page.keyboard.press("Escape")
    expect(rail).to_be_hidden()
    expect(page.locator(".menu")).to_be_focused()
    page.click(".menu")
    page.click(".rail-link >> text=System")
    expect(page.locator("h1")).to_have_text("System")
    expect(rail).to_be_hidden()


def test_every_page_is_reached_by_keyboard(open_on: OpenOn) -> None:
    page = open_on("/playground", locale="en-GB")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        )
    names = ["Skip to content", "xwe", "Chat", "Characters"]
    names += ["Playground", "Tools lab", "System"]
    names += ["Sign in", "中文", "theme"]
    assert reached[: len(names)] == names
    assert reached[len(names) : len(names) + 2] == ["users", "run"]


def test_the_way_past_the_rail_leads_to_the_content(open_on: OpenOn) -> None:
    page = open_on("/playground")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#users")).to_be_focused()


def test_language_and_theme_are_the_readers_choice(open_on: OpenOn) -> None:
    page = open_on(locale="en-GB")
    page.click(".languages a")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.click(".rail-link >> text=系统")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")

    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.click("#theme")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.click("#theme")
    page.emulate_media(color_scheme="dark")  # chosen back to the system's: it follows it again
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.problems == []


def test_an_address_that_leads_nowhere_leads_back(open_on: OpenOn) -> None:
    page = open_on("/nowhere")
    expect(page.locator("h1")).to_have_text("这里什么也没有")
    page.click("main a")
    expect(page.locator("#welcome")).to_be_visible()
