"""A page whose reader was signed out elsewhere leaves the server in peace."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_reader import Reader
from playwright.sync_api import expect

from xwe.services.accounts import Accounts

pytestmark = pytest.mark.browser

# It hears of a connection's end before the page does: when the mark is there, the page knows.
COUNT_CONNECTIONS = """
  const marks = () => document.documentElement.dataset;
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      marks().opened = Number(marks().opened ?? 0) + 1;
      this.addEventListener("close", () => (marks().closed = "yes"));
    }
  };
"""


@pytest.fixture
def soon_noticed(
    serve: Callable[..., Any], sign_up: Callable[..., Reader], database_url: str
) -> Reader:
    """A reader of a server that soon notices who is no longer signed in."""
    server = serve(XWE_DATABASE_URL=database_url, XWE_STREAM_HEARTBEAT="2")
    return sign_up(server.url)


def test_a_page_whose_news_end_with_its_sign_in_asks_for_them_once_a_minute(
    soon_noticed: Reader,
) -> None:
    reader, page = soon_noticed, soon_noticed.page
    reader.make()
    page.add_init_script(COUNT_CONNECTIONS)
    page.clock.install(time=0)
    marks = reader.open().locator("html")
    expect(marks).to_have_attribute("data-opened", "1")
    page.clock.pause_at(600_000)
    accounts = Accounts(reader.database, signup_is_open=False)
    accounts.log_out_everywhere(reader.id)
    accounts.close()
    expect(marks).to_have_attribute("data-closed", "yes")
    page.clock.run_for(59_000)
    expect(marks).to_have_attribute("data-opened", "1")
    page.clock.run_for(1_000)
    expect(marks).to_have_attribute("data-opened", "2")
