"""What models write in Markdown every day, as the pages show it."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import ask
from page_layout import assert_fits, settle
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

# The elements of a text, in short: p(strong) for a bold word in a paragraph; words are left out.
OUTLINE = """([source, ...more]) => import("/static/js/markdown.js").then(({ MarkdownView }) => {
  const outline = (node) => [...node.children].map((child) => child.matches("figure")
    ? "code"
    : child.localName + (child.children.length ? `(${outline(child)})` : "")).join(" ");
  const code = document.createElement("template");
  code.innerHTML = `<figure><figcaption class="code-language"></figcaption>
    <pre><code></code></pre></figure>`;
  const root = document.createElement("div");
  const view = new MarkdownView(root, code);
  for (const text of [source, ...more]) view.show(text);
  const html = root.innerHTML.replaceAll(' class=""', "");
  return [outline(root), root.textContent.replace(/\\s+/g, " ").trim(), html];
})"""

SHOWN = {
    "a decimal": ("3.14 is pi.\n1.5 GB of it", "p", "3.14 is pi. 1.5 GB of it"),
    "a decimal after a list": ("1. a\n\n1.5 GB", "ol(li) p", "a1.5 GB"),
    "a version": ("2.0.1\n10.2", "p", "2.0.1 10.2"),
    "lists in lists": (
        "- a\n  - b\n    1. c\n- d",
        "ul(li(ul(li(ol(li)))) li)",
        "ab c d".replace(" ", ""),
    ),
    "a list with parts": ("1. a\n\n   more\n2. b", "ol(li(p p) li(p))", "amoreb"),
    "code in a list": (
        "1. Run:\n   ```sh\n   make run\n   ```\n2. Look",
        "ol(li(code) li)",
        "Run:sh make runLook",
    ),
    "other emphasis": ("__a__ _b_ ~~c~~ ***d***", "p(strong em del em(strong))", "a b c d"),
    "what is escaped": (r"\*a\* 1\. \# b", "p", "*a* 1. # b"),
    "names": ("snake_case_name, 2 * 3 * 4, f(**kwargs), g(**opts)", "p", None),
    "Chinese emphasis": (
        "**注意：**请看*（笑）*，**“重点”**和**字**",
        "p(strong em strong strong)",
        "注意：请看（笑），“重点”和字",
    ),
    "tones": ("好的~ 是呀~ 嗯~好呀~", "p", "好的~ 是呀~ 嗯~好呀~"),
    "a narrator": ("[旁白]: **他笑了**", "p(strong)", "[旁白]: 他笑了"),
    "a rule": ("a\n---\nb", "p hr p", "ab"),
    "tags": ("<div>\n**a** <b>b</b>\n</div>", "p(strong)", "<div> a <b>b</b> </div>"),
    "tasks": ("- [ ] a\n- [x] b", "ul(li li)", "☐ a☑ b"),
    "a table": (
        "| a | b |\n|---|:-:|\n| `c` | d<br>e |",
        "div(table(thead(tr(th th)) tbody(tr(td(code) td(br)))))",
        "abcde",
    ),
    "a quote": ("> a\n>\n> - b", "blockquote(p ul(li))", "ab"),
    "deeper than any stack": (">" * 20_000, "p", ">" * 20_000),
}


@pytest.fixture(scope="module")
def blank(chromium: Any, app_server: Any) -> Any:
    """A page of the server's own origin and policy, without anything on it."""
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{app_server.url}/static/js/sse.js")
    yield page
    page.context.close()


@pytest.mark.parametrize("case", SHOWN)
def test_it_is_shown_as_it_was_meant(blank: Page, case: str) -> None:
    source, outline, words = SHOWN[case]
    assert blank.evaluate(OUTLINE, [source])[:2] == [outline, words or source]


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("[a](https://example.org/x_(y))", "https://example.org/x_(y)"),
        ("https://example.org/a，请看", "https://example.org/a"),
        ("https://zh.wikipedia.org/wiki/孙悟空", "https://zh.wikipedia.org/wiki/孙悟空"),
        ("<https://example.org/b>", "https://example.org/b"),
        ("[m](mailto:a@example.org)", "mailto:a@example.org"),
        ("![a picture](https://example.org/p.png)", "https://example.org/p.png"),
        ("[![in a link](https://example.org/p.png)](https://example.org/)", "https://example.org/"),
        ("[c](//example.org/x)", None),
        ("[f](ftp://example.org/x)", None),
        ("[r](/account)", None),
    ],
)
def test_links_lead_to_the_web_and_to_mail(blank: Page, source: str, address: str | None) -> None:
    outline, words, html = blank.evaluate(OUTLINE, [source])
    if address is None:
        assert (outline, words) == ("p", source)
    else:
        assert outline == "p(a)"
        assert f'<a href="{address}" rel="noopener noreferrer nofollow" target="_blank">' in html


WHOLE = "\n\n".join(source for source, _, _ in SHOWN.values() if len(source) < 1_000)


def test_a_text_that_grows_becomes_what_it_is_as_a_whole(blank: Page) -> None:
    """However it is cut: blocks that have settled are not read again."""
    text = f"{WHOLE}\n\n1. a\n\n2. b\n\n-\n\n- c\n\n```py\nx\n\n\ny\n```\n{WHOLE}"
    whole = blank.evaluate(OUTLINE, [text])
    for step in (1, 7):
        grown = [text[:end] for end in range(1, len(text), step)]
        assert blank.evaluate(OUTLINE, [*grown, text]) == whole
    assert blank.evaluate(OUTLINE, ["something else", text]) == whole


PARTS = """([text, frames]) => import("/static/js/markdown_syntax.js").then(({ Blocks }) => {
  const blocks = new Blocks();
  let [before, again] = [[], 0];
  for (let frame = 1; frame <= frames; frame += 1) {
    const tokens = blocks.read(text.slice(0, Math.ceil((text.length * frame) / frames)));
    again = Math.max(again, tokens.filter((token) => !before.includes(token)).length);
    before = tokens;
  }
  return [before.length, again];
})"""


def test_a_long_answer_is_not_read_again_with_every_word(blank: Page) -> None:
    text = "".join(f"## {n}\n\nSome **bold** words.\n\n- a\n- b\n\n" for n in range(600))
    assert len(text) > 20_000
    blocks, at_most = blank.evaluate(PARTS, [text, 1000])
    assert blocks > 3_000
    assert at_most < 30


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_what_is_wide_scrolls_by_itself(
    open_page: Callable[..., Page],
    app_server: Any,
    mock_server: MockServer,
    assert_accessible: Callable[[Page], None],
    width: int,
) -> None:
    cells = " | ".join(["a long word of a cell"] * 8)
    table = f"| {cells} |\n|{'---|' * 8}\n| {cells} |"
    mock_server.script(
        Behaviour(text=f"{table}\n\n- a\n  - b\n\n    ```sh\n    {'x' * 300}\n    ```")
    )
    page = open_page(app_server.url, width=width, height=700)
    ask(page, "表格")
    expect(page.locator(".answer")).to_have_attribute("data-state", "complete")
    expect(page.locator(".wide-table td")).to_have_count(8)
    page.locator("li figure [data-do=copy-code]").click()
    inner = "node => node.children[0].offsetHeight + node.children[1].offsetHeight"
    figure = page.locator("li figure")
    assert figure.evaluate("node => node.clientHeight") - figure.evaluate(inner) <= 1
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    assert page.problems == []
