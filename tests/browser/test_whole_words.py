"""A text that comes piece by piece is shown in whole words and intact Markdown."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import answer, ask
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

TEXT = (
    "## Bridges\n\nThere is **a very bold claim** here, some `inline code`, a "
    "[long label](https://example.org/a/long/path) and *emphasised words*.\n\n"
    "| name | place |\n| --- | --- |\n| Rialto | Venice |\n\n1. **First**: stone\n2. second\n\n"
    "雾从江心**慢慢起身**，桥把两岸缝合。"
)
# Every state of the answer that a frame could have shown.
WATCH = """() => {
  window.seen = new Set();
  new MutationObserver(() => {
    const shown = document.querySelector(".prose");
    if (shown) window.seen.add(shown.innerText);
  }).observe(document.getElementById("log"), { subtree: true, childList: true });
}"""
WORDS = """Bridges There is a very bold claim here some inline code long label and emphasised words
name place Rialto Venice First stone second"""


@pytest.fixture
def page(open_page: Callable[..., Page], app_server: Any, mock_server: MockServer) -> Page:
    return open_page(app_server.url)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_no_half_of_a_word_or_a_mark_is_ever_shown(
    page: Page, mock_server: MockServer, motion: str
) -> None:
    page.emulate_media(reduced_motion=motion)
    page.evaluate(WATCH)
    mock_server.script(Behaviour(text=TEXT, write_bytes=16, tokens_per_s=60))
    ask(page, "桥")
    answer(page, "complete")
    seen = page.evaluate("[...window.seen]")
    assert len(seen) > 5
    for shown in seen:
        assert not any(mark in shown for mark in ("**", "`", "[", "](", "|", "#")), shown
        words = "".join(each if each.isascii() and each.isalpha() else " " for each in shown)
        assert set(words.split()) <= set(WORDS.split()), shown
    expect(page.locator(".prose strong")).to_have_text(["a very bold claim", "First", "慢慢起身"])


# Each is what has come, and what of it is shown.
BROKEN_OFF = [
    ("a **bold cla", "a **bold cla**"),
    ("a **", "a "),
    ("**one** and *tw", "**one** and *tw*"),
    ("use `co", "use `co`"),
    ("~~gone", "~~gone~~"),
    ("see [the la", "see "),
    ("see [the label](https://exa", "see "),
    ("see [it](https://a.b) now", "see [it](https://a.b) now"),
    ("go to https://exam", "go to "),
    ("2 * 3 * 4", "2 * 3 * 4"),
    ("2*3 and a_b_c", "2*3 and a_b_c"),
    ("一座**桥", "一座**桥**"),
    ("- ", ""),
    ("#", ""),
    ("3.", ""),
    ("```py", "```py"),
    ("```\na ** b [c", "```\na ** b [c"),
    ("```\na\n``", "```\na"),
    ("```\na\n```\n**b", "```\na\n```\n**b**"),
    ("x\n| a | b |\n|--", "x\n"),
    ("| a |\n| - |\n| b", "| a |\n| - |\n| b"),
]
WORD_ENDS = [
    ("Hello wor", "Hello "),
    ("Hello.", "Hello."),
    ("don't sto", "don't "),
    ("雾从江", "雾从江"),
    ("雾从fog", "雾从"),
    ("x" * 60, "x" * 60),
    ("a 👩\u200d", "a "),
]


def test_what_is_half_is_closed_or_waits(page: Page) -> None:
    intact = "async (all) => all.map((await import('/static/js/intact.js')).intact)"
    assert page.evaluate(intact, [came for came, _ in BROKEN_OFF]) == [
        shown for _, shown in BROKEN_OFF
    ]


def test_a_word_waits_for_its_end(page: Page) -> None:
    whole = """async (all) => {
      const { wholeWords } = await import("/static/js/intact.js");
      return all.map((text) => text.slice(0, wholeWords(text)));
    }"""
    assert page.evaluate(whole, [came for came, _ in WORD_ENDS]) == [
        shown for _, shown in WORD_ENDS
    ]
