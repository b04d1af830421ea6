"""A page whose reader was signed out elsewhere leaves the server in peace."""

import pytest
from chat_reader import Reader, listening, news_of
from playwright.sync_api import expect

from xwe.services.accounts import Accounts

pytestmark = pytest.mark.browser

# It hears of a connection's end before the page does: when the mark is there, the page knows.
# The newest one is within the test's reach: who wants something is asked for at once, where the
# server would look at the next heartbeat.
COUNT_CONNECTIONS = """
  const marks = () => document.documentElement.dataset;
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      window.news = this;
      marks().opened = Number(marks().opened ?? 0) + 1;
      this.addEventListener("close", () => (marks().closed = "yes"));
    }
  };
"""


def test_a_page_whose_news_end_with_its_sign_in_asks_for_them_once_a_minute(
    reader: Reader,
) -> None:
    page = reader.page
    reader.make()
    heard = news_of(page)
    page.add_init_script(COUNT_CONNECTIONS)
    page.clock.install(time=0)
    marks = reader.open().locator("html")
    expect(marks).to_have_attribute("data-opened", "1")
    listening(page, heard)
    page.clock.pause_at(600_000)
    accounts = Accounts(reader.database, signup_is_open=False)
    accounts.log_out_everywhere(reader.id)
    accounts.close()
    page.evaluate("""news.send('{"type":"subscribe"}')""")
    expect(marks).to_have_attribute("data-closed", "yes")
    page.clock.run_for(59_000)
    expect(marks).to_have_attribute("data-opened", "1")
    page.clock.run_for(1_000)
    expect(marks).to_have_attribute("data-opened", "2")
