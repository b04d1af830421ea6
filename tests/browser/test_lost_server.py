"""A server that says nothing, or whose neighbour has to tell its answer, is said to be lost."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import Reader, answer, ask, prose
from held_requests import hold, wait_for
from playwright.sync_api import expect

from xwe.mock import Behaviour, MockServer

pytestmark = pytest.mark.browser

POEM = "雾从江心慢慢起身，桥把两岸轻轻缝合。"
BEFORE, HELD = POEM.partition("缝")[:2]
# How many parts of streams the page has read, and dealt with.
COUNT_PARTS = """
  window.parts = 0;
  const { read } = ReadableStreamDefaultReader.prototype;
  ReadableStreamDefaultReader.prototype.read = async function () {
    const part = await read.call(this);
    if (!part.done) setTimeout(() => (window.parts += 1));
    return part;
  };
"""


def test_a_silence_longer_than_a_heartbeat_is_a_lost_connection(
    serve: Callable[..., Any],
    relay: Callable[..., Any],
    open_page: Callable[..., Any],
    mock_server: MockServer,
) -> None:
    mock_server.script(Behaviour(text=POEM))
    server = serve(XWE_STREAM_HEARTBEAT="1")
    wire = relay(server.url, stop_within=HELD)
    page = open_page(wire.url)
    ask(page, "写诗")
    # A silence before that, of a busy machine, may have its new connection.
    expect(prose(page)).to_have_text(BEFORE)
    rejoining = hold(page, "**/events")
    wait_for(page, rejoining)
    expect(page.locator(".reconnecting")).to_be_visible()
    expect(prose(page)).to_have_text(BEFORE)
    wire.go_on()
    for route in rejoining:
        route.continue_()
    answer(page, "complete")
    expect(prose(page)).to_have_text(POEM)


def test_an_answer_whose_maker_is_gone_is_not_said_to_be_found_again(
    serve: Callable[..., Any],
    relay: Callable[..., Any],
    sign_up: Callable[..., Reader],
    database_url: str,
    mock_server: MockServer,
) -> None:
    """Another process tells what is stored of it, and cannot know whether more will come."""
    mock_server.script(Behaviour(text=POEM, tokens_per_s=200))
    model = relay(mock_server.base_url, stop_within=HELD)
    options = {"XWE_DATABASE_URL": database_url, "LLM_BASE_URL": f"{model.url}/v1"}
    makes_it, tells_it = serve(**options), serve(**options)
    near = relay(makes_it.url, stop_within="\uf8ff")  # which nobody says
    reader = sign_up(near.url)
    reader.make()
    reader.page.add_init_script(COUNT_PARTS)
    page = reader.open()
    ask(page, "写诗")
    expect(prose(page)).to_have_text(BEFORE)
    parts = page.evaluate("window.parts")
    near.target = tells_it.url.removeprefix("http://").split(":")
    with page.expect_response("**/events") as joined:
        near.cut()
        near.mend()
    assert joined.value.ok
    page.wait_for_function("parts => window.parts > parts", arg=parts)
    expect(page.locator(".reconnecting")).to_be_visible()
    expect(prose(page)).to_have_text(BEFORE)
    model.go_on()
    answer(page, "complete")
    expect(prose(page)).to_have_text(POEM)
    expect(page.locator(".reconnecting")).to_be_hidden()
    model.cut()
