"""The clock of a page."""

from playwright.sync_api import Page


def stop_clock(page: Page) -> None:
    """From its next address on: what vanishes after a while waits until it has been seen."""
    page.clock.install(time=0)
    page.clock.pause_at(1_000)
