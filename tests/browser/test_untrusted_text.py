"""Text that nobody vouches for, in a real browser: it is shown, and does nothing else.

Every page is watched: what runs, what is asked for and of whom, what it says in dialogs, and what
its policy had to stop.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Page, Request, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

RUN = "window.hurt=1"
AWAY = "https://evil.test"

# Each is also the text that must be seen, as it was written.
HOSTILE = {
    "image": f"<img src=x onerror={RUN}>",
    "script": f"<script>{RUN}</script>",
    "svg": f"<svg/onload={RUN}><animate onbegin={RUN} attributeName=x></svg>",
    "frame": f"<iframe srcdoc='<script>parent.hurt=1</script>' src=javascript:{RUN}></iframe>",
    "end of the element": f"</p></div></article></template><script>{RUN}</script>",
    "attributes": f'" onmouseover="{RUN}" autofocus onfocus="{RUN}',
    "style": f"<style>@import '{AWAY}/s.css'; *{{background:url({AWAY}/b.png)}}</style>",
    "refresh": f"<meta http-equiv=refresh content='0;url={AWAY}'><base href={AWAY}/>",
    "form": f"<form action={AWAY}><input name=q autofocus onfocus={RUN}></form>",
    "javascript link": f"[click](javascript:{RUN})",
    "javascript link in disguise": f"[click](jAvA\tscript:{RUN}) [x](&#106;avascript:{RUN})",
    "data link": "[click](data:text/html;base64,PHNjcmlwdD5odXJ0PTE8L3NjcmlwdD4=)",
    "other schemes": "[a](vbscript:x) [b](file:///etc/passwd) [c](//evil.test/x) [d](blob:x)",
    "remote image": f"![pixel]({AWAY}/p.png)",
    "image by reference": f"![pixel][one]\n\n[one]: {AWAY}/p.png",
    "link around an image": f"[![pixel]({AWAY}/p.png)](javascript:{RUN})",
    "autolink": f"<javascript:{RUN}> <{AWAY}/x>",
    "entities": f"&lt;img src=x onerror={RUN}&gt; &#60;script&#62;",
    "template": "{{constructor.constructor('hurt=1')()}} ${hurt=1} {% raw %}",
    "link title": f'[a](https://example.org "onclick={RUN}")',
}
TOGETHER = "\n\n".join(HOSTILE.values())

# What a page of ours may hold, wherever untrusted text is shown.
FORBIDDEN = "img, script, iframe, object, embed, style, meta, base, form, svg animate, link, video"

# What a reader's mouse sets off.
HOVER = """node => node.querySelectorAll("*").forEach(
  each => each.dispatchEvent(new MouseEvent("mouseover", { bubbles: true })))"""

# What the policy must stop, one thing each.
STOPPED = [
    *("img-src", "script-src-elem", "script-src-attr", "connect-src"),
    *("frame-src", "object-src", "form-action"),
]


class Watched:
    """A page, and everything it did that it should not have."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.dialogs: list[str] = []
        self.strangers: list[str] = []
        self.asked: list[Request] = []
        page.on("dialog", self._on_dialog)
        page.on("request", self._on_request)
        page.on("popup", lambda other: self.strangers.append(other.url))

    def _on_dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _on_request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.strangers.append(request.url)
            self.asked.append(request)

    def assert_unhurt(self) -> None:
        """Nothing ran, nothing was fetched elsewhere, and the policy had nothing to stop."""
        # A round trip through the page's own queue: what was about to run has run.
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        assert self.page.evaluate("window.hurt ?? null") is None
        assert urlsplit(self.page.url).netloc == urlsplit(self.url).netloc
        assert (self.dialogs, self.strangers, self.page.problems) == ([], [], [])


@pytest.fixture
def watch(open_page: Callable[..., Page]) -> Callable[[str, str], Watched]:
    def start(url: str, path: str) -> Watched:
        page = open_page("about:blank", locale="en-GB")
        watched = Watched(page, url)
        page.goto(url + path)
        return watched

    return start


def chat(page: Page, question: str) -> Any:
    page.fill("#prompt", question)
    page.press("#prompt", "Enter")
    newest = page.locator(".answer").last
    expect(newest).to_have_attribute("data-state", "complete")
    return newest


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_chat_shows_what_a_model_writes_and_does_none_of_it(
    watch: Callable[..., Watched], app_server: Any, mock_server: MockServer
) -> None:
    """As an answer, as reasoning, in code and in a list, and as the question itself."""
    watched = watch(app_server.url, "/")
    page = watched.page
    for text in HOSTILE.values():
        all_over = (
            f"{text}\n\n- {text}\n\n> {text}\n\n## {text}\n\n```html\n{text}\n```\n\n`{text}`"
            f"\n\n| a |\n| - |\n| {text} |\n\n1. a\n   - ~~{text}~~\n\n**__{text}__**"
        )
        mock_server.script(Behaviour(text=all_over, reasoning=text))
        answer = chat(page, text)
        assert answer.locator(FORBIDDEN).count() == 0, text
        links = answer.locator("a").evaluate_all("all => all.map(link => link.protocol)")
        assert set(links) <= {"http:", "https:", "mailto:"}, text
        if not links:  # a link's address is not shown
            shown = answer.locator(".prose").evaluate("node => node.textContent")
            assert words(text) in words(shown)
        assert words(page.locator(".question-text").last.inner_text()) == words(text)
        answer.evaluate(HOVER)
        watched.assert_unhurt()


@pytest.mark.parametrize("write_bytes", [7, 100])
def test_nor_while_it_comes_in_pieces_nor_after_a_reload(
    watch: Callable[..., Watched], app_server: Any, mock_server: MockServer, write_bytes: int
) -> None:
    """Half a tag at a time; and once more from what the page remembers."""
    mock_server.script(Behaviour(text=TOGETHER, reasoning=TOGETHER, write_bytes=write_bytes))
    watched = watch(app_server.url, "/")
    chat(watched.page, TOGETHER)
    watched.assert_unhurt()
    watched.page.reload()
    answer = watched.page.locator(".answer").last
    expect(answer).to_contain_text(HOSTILE["script"])
    assert answer.locator(FORBIDDEN).count() == 0
    watched.assert_unhurt()


def test_a_link_that_is_let_through_opens_elsewhere_and_tells_nobody_where_from(
    watch: Callable[..., Watched], app_server: Any, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=f"[good]({AWAY}/?q=1) and {HOSTILE['javascript link']}"))
    watched = watch(app_server.url, "/")
    (link,) = chat(watched.page, "hi").locator("a").all()
    assert link.get_attribute("href") == f"{AWAY}/?q=1"
    assert link.get_attribute("target") == "_blank"
    assert {"noopener", "noreferrer"} <= set(link.get_attribute("rel").split())
    watched.assert_unhurt()


def test_the_plain_stream_page_shows_text_alone(
    watch: Callable[..., Watched], app_server: Any, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=TOGETHER, write_bytes=5))
    watched = watch(app_server.url, "/stream")
    watched.page.click("#read")
    expect(watched.page.locator("#read")).to_be_visible()
    plain = watched.page.locator("#plain")
    expect(plain).to_contain_text(HOSTILE["link title"])
    assert plain.evaluate("node => node.textContent") == TOGETHER
    assert plain.locator("*").count() == 0
    watched.assert_unhurt()


@pytest.mark.parametrize("fault", ["html", "error_event", "status"])
def test_the_playground_and_the_chat_show_a_providers_error_as_text(
    watch: Callable[..., Watched], app_server: Any, mock_server: MockServer, fault: Any
) -> None:
    """With a page of the provider's own that would like to run."""
    page_of_theirs = f"<title>&lt;img src=x onerror={RUN}&gt;</title>{HOSTILE['script']}"
    broken = page_of_theirs if fault == "html" else None
    mock_server.script(
        *[
            Behaviour(fault=fault, broken_text=broken, status=400, error_code=HOSTILE["image"])
            for _ in range(8)
        ]
    )
    watched = watch(app_server.url, "/playground")
    watched.page.locator("#users").fill("2")
    watched.page.click("#run")
    expect(watched.page.locator(".trouble").first).to_be_visible()
    watched.page.problems.clear()  # that the answer was an error is said in the console
    watched.assert_unhurt()
    mock_server.reset()


def test_every_page_shows_the_names_of_its_settings_as_text(
    watch: Callable[..., Watched], serve: Callable[..., Any]
) -> None:
    """A model's name comes from a provider's list, and a call's errors from the provider."""
    server = serve(LLM_MODEL=f"<img/src=x/onerror={RUN}>", LLM_PROVIDER="custom", XWE_ACCESS="open")
    for path in ("/", "/stream", "/playground", "/system"):
        watched = watch(server.url, path)
        assert watched.page.locator("img").count() == 0
        watched.assert_unhurt()


@pytest.mark.parametrize(
    "path",
    [
        f"/{quote(HOSTILE['image'])}",
        f"/?lang={quote(HOSTILE['attributes'])}",
        f"/?prompt={quote(HOSTILE['script'])}#{quote(HOSTILE['image'])}",
        f"/stream?prompt={quote(HOSTILE['image'])}",
    ],
)
def test_an_address_is_no_way_in(watch: Callable[..., Watched], app_server: Any, path: str) -> None:
    watched = watch(app_server.url, path)
    watched.page.problems.clear()  # a 404 is said in the console
    assert watched.page.locator("main img, main script").count() == 0
    watched.assert_unhurt()


def test_an_answer_that_is_opened_as_a_page_is_plain_text(
    watch: Callable[..., Watched], app_server: Any, mock_server: MockServer
) -> None:
    mock_server.script(Behaviour(text=f"<!DOCTYPE html><html><body>{TOGETHER}"))
    watched = watch(app_server.url, "/chat?prompt=hi")
    assert watched.page.evaluate("document.contentType") == "text/plain"
    expect(watched.page.locator("body")).to_contain_text(HOSTILE["script"])
    watched.page.problems.clear()  # a browser looks for an icon by itself
    watched.assert_unhurt()


@pytest.mark.parametrize("path", ["/", "/stream", "/playground", "/system", "/nowhere"])
def test_the_policy_stops_what_would_get_into_a_page_all_the_same(
    watch: Callable[..., Watched], app_server: Any, path: str
) -> None:
    """As if somebody forgot to escape: the second wall, tried with the first one left out."""
    watched = watch(app_server.url, path)
    page = watched.page
    assert page.locator("script:not([src]):not([type='application/json'])").count() == 0
    page.evaluate(
        """([away, run]) => {
          window.stopped = [];
          document.addEventListener("securitypolicyviolation",
            event => window.stopped.push(event.effectiveDirective));
          document.body.insertAdjacentHTML("beforeend",
            `<img src="${away}/p.png" onerror="${run}"><a id="bait" href="javascript:${run}">x</a>
             <iframe src="${away}"></iframe><object data="${away}/o"></object>
             <form id="trap" action="${away}"></form>`);
          for (const source of [{ textContent: run }, { src: `${away}/s.js` }])
            document.body.append(Object.assign(document.createElement("script"), source));
          fetch(`${away}/told`).catch(() => {});
          document.getElementById("bait").click();
          document.getElementById("trap").submit();
        }""",
        [AWAY, RUN],
    )
    page.wait_for_function("all => all.every(each => window.stopped.includes(each))", arg=STOPPED)
    assert page.evaluate("window.hurt ?? null") is None
    # A request is announced before the policy stops it, and that it has, after the page was told.
    while not all(request.failure for request in watched.asked):
        page.wait_for_timeout(20)
    assert {request.failure for request in watched.asked} == {"csp"}
