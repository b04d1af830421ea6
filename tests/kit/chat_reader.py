"""Somebody with an account and characters, and what they do and see in a chat."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, expect

from xwe.storage.database import Database
from xwe.storage.repositories import characters, conversations, messages

WUKONG = "孙悟空"
PROFILE = {"基础身份信息": {"姓名": WUKONG, "称谓/头衔": ["齐天大圣", "美猴王"]}}


@dataclass
class Reader:
    """Somebody with an account, and what is stored for them."""

    page: Page
    id: int
    url: str
    database: Database

    def make(self, name: str = WUKONG, first_message: str = "", said: int = 0) -> int:
        """A character of theirs, to whom so many messages were said in turn; its id."""
        with self.database.write() as writing:
            made = characters.create(
                writing,
                user_id=self.id,
                name=name,
                first_message=first_message,
                profile=PROFILE,
            )
            chat = conversations.for_character(writing, self.id, made.id) if said else None
            for number in range(1, said + 1):
                is_asked = number % 2
                messages.append(
                    writing,
                    chat.id,
                    sender_type="user" if is_asked else "character",
                    sender_id=self.id if is_asked else made.id,
                    content=f"{'问' if is_asked else '答'} {number}",
                )
        return made.id

    def open(self, name: str = WUKONG, path: str = "/chat/") -> Page:
        self.page.goto(f"{self.url}{path}{name}")
        expect(self.page.locator("#main")).to_have_attribute("data-state", "shown")
        return self.page


def ask(page: Page, text: str) -> None:
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")


def answer(page: Page, state: str) -> Any:
    """The newest answer, once it is in that state."""
    newest = page.locator(".answer").last
    expect(newest).to_have_attribute("data-state", state)
    return newest


def news_of(page: Page) -> list[object]:
    """What the server tells the page from its next address on, as it comes."""
    heard: list[object] = []

    def hear(said: object) -> None:
        heard.append(said)

    page.on("websocket", lambda news: news.on("framereceived", hear))
    return heard


def listening(page: Page, heard: list[object]) -> None:
    """Wait until the page is told of news: the first word is that it may listen from now on."""
    while not heard:
        page.wait_for_timeout(20)


def questions(page: Page) -> Any:
    return page.locator(".question-text")


def prose(page: Page) -> Any:
    return page.locator(".answer .prose")


def settled(page: Page) -> None:
    """Wait until the page has the newest answer as the server keeps it."""
    expect(page.locator(".answer-time").last).not_to_be_empty()
