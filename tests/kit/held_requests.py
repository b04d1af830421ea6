"""A slow line: what a page sends waits until the test lets it go on."""

from playwright.sync_api import Page, Route


def hold(page: Page, address: str) -> list[Route]:
    """Keep what the page sends to an address; each is in the list as soon as it has come by."""
    routes: list[Route] = []

    def keep(route: Route) -> None:
        routes.append(route)

    page.route(address, keep)
    return routes


def wait_for(page: Page, routes: list[Route], count: int = 1) -> Route:
    """The newest of so many that are held; what a press sends may come by after its look."""
    while len(routes) < count:
        page.wait_for_timeout(20)
    assert len(routes) == count
    return routes[-1]
