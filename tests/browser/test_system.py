"""The system page shows the server's own figures, while somebody looks."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

CHARTS = 6


def ask(page: Page, url: str, path: str = "chat") -> None:
    page.request.post(f"{url}/api/llm/{path}", data={"message": "hi"}).body()


def tile(page: Page, name: str) -> Any:
    return page.locator(f"[data-tile={name}] .tile-value")


def test_calls_become_figures(
    open_page: Callable[..., Page], serve: Callable[..., Any], mock_server: MockServer
) -> None:
    server = serve(XWE_MAX_LLM_RETRIES="1")
    page = open_page(f"{server.url}/system", locale="en-GB")
    expect(tile(page, "in_flight")).to_have_text("0")
    expect(tile(page, "total")).to_have_text("–")
    expect(page.locator("#no-causes")).to_be_visible()

    ask(page, server.url)
    ask(page, server.url, "stream")
    mock_server.script(Behaviour(fault="status", status=401))
    ask(page, server.url)
    for name in ("first_token", "total", "lag"):
        expect(tile(page, name)).to_contain_text("s")
        expect(tile(page, name)).not_to_have_text("–")
    expect(tile(page, "failures")).to_have_text("1")
    expect(page.locator(".cause-name")).to_have_text("The model provider rejected the key")
    expect(page.locator(".cause-code")).to_have_text("provider_auth")
    expect(page.locator(".worker-pid")).to_contain_text("Process")
    expect(page.locator(".plot svg")).to_have_count(CHARTS)
    for text in page.locator(".plot svg").evaluate_all("all => all.map(svg => svg.ariaLabel)"):
        assert "last five minutes" in text
    assert page.problems == []


def test_the_second_line_differs_in_more_than_its_colour(
    open_page: Callable[..., Page], app_server: Any
) -> None:
    page = open_page(f"{app_server.url}/system")
    dashes = page.locator(".sample .line-1").first.evaluate(
        "line => getComputedStyle(line).strokeDasharray"
    )
    assert dashes != "none"


def test_nobody_is_asked_while_nobody_looks(
    open_page: Callable[..., Page], app_server: Any
) -> None:
    page = open_page("about:blank")
    page.clock.install()
    page.add_init_script(
        "let hidden = false;"
        "Object.defineProperty(document, 'hidden', { get: () => hidden });"
        "window.hide = (value) => {"
        "  hidden = value; document.dispatchEvent(new Event('visibilitychange')); };"
    )
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "status" in request.url else 0)
    with page.expect_response("**/api/llm/status"):
        page.goto(f"{app_server.url}/system")
    expect(page.locator("#main")).to_have_attribute("data-state", "shown")
    with page.expect_response("**/api/llm/status"):
        page.clock.run_for(2_500)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    page.evaluate("hide(true)")
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before
    with page.expect_response("**/api/llm/status"):
        page.evaluate("hide(false)")
    page.click("#pause")
    expect(page.locator("#pulse-text")).to_have_text("已暂停")
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before


def test_a_lost_server_leaves_the_last_figures_standing(
    open_page: Callable[..., Page], app_server: Any
) -> None:
    page = open_page(f"{app_server.url}/system")
    expect(page.locator("#main")).to_have_attribute("data-state", "shown")
    page.context.set_offline(True)
    expect(page.locator("#pulse-text")).to_have_text("连接中断，正在重试")
    expect(tile(page, "in_flight")).to_have_text("0")
    page.context.set_offline(False)
    expect(page.locator("#pulse-text")).to_have_text("实时")


def test_a_server_with_a_token_asks_for_it_in_place(
    open_page: Callable[..., Page], serve: Callable[..., Any]
) -> None:
    server = serve(XWE_ACCESS="login", XWE_API_TOKEN="t0ken-abc")
    page = open_page(f"{server.url}/system")
    expect(page.locator(".trouble-title")).to_have_text("这台服务器需要知道你是谁")
    page.fill("input[name=token]", "t0ken-abc")
    page.press("input[name=token]", "Enter")
    expect(page.locator("#main")).to_have_attribute("data-state", "shown")
    expect(page.locator(".trouble")).to_have_count(0)
