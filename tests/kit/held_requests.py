"""A slow line: what a page sends waits until the test lets it go on."""

from playwright.sync_api import Page, Route


def hold(page: Page, address: str) -> list[Route]:
    """Keep what the page sends to an address; each is in the list as soon as it is sent."""
    routes: list[Route] = []

    def keep(route: Route) -> None:
        routes.append(route)

    page.route(address, keep)
    return routes
