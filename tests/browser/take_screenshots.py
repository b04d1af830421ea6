"""Takes the pictures in docs/screenshots: `python tests/browser/take_screenshots.py URL`.

URL is that of a running `xwe run` with the demo model.
"""

import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import APIRequestContext, Browser, Page, sync_playwright

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
LOCALES = {"en-GB": "", "zh-CN": ".zh-CN"}
QUESTIONS = {
    "en-GB": "Write a four-line poem about a bridge in the morning mist.",
    "zh-CN": "写一首四行小诗，写晨雾中的一座桥。",
}
TRAFFIC_S = 100
SETTLED_MS = 400


def ask(page: Page, locale: str) -> None:
    page.fill("#prompt", QUESTIONS[locale])
    page.press("#prompt", "Enter")


def take(browser: Browser, url: str, locale: str) -> None:
    page = new_page(browser, locale)
    page.goto(url)
    ask(page, locale)
    page.wait_for_selector(".prose blockquote")
    page.wait_for_timeout(SETTLED_MS * 2)
    shoot(page, f"first-answer{LOCALES[locale]}")

    page.goto(f"{url}/playground")
    page.click("#run")
    page.wait_for_selector("#figures:not([hidden])")
    page.mouse.move(0, 0)
    shoot(page, f"playground{LOCALES[locale]}")

    page.goto(f"{url}/stream")
    page.click("#read")
    page.wait_for_selector("#figures:not(:empty)")
    page.wait_for_selector("#read")
    page.mouse.move(0, 0)
    shoot(page, f"stream{LOCALES[locale]}")

    page.goto(f"{url}/system")
    page.wait_for_selector("[data-state=shown]")
    shoot(page, f"system{LOCALES[locale]}")
    page.context.close()


def take_phone(browser: Browser, url: str) -> None:
    page = new_page(browser, "zh-CN", width=390, height=844)
    page.goto(url)
    ask(page, "zh-CN")
    page.wait_for_selector(".answer[data-state=complete]")
    shoot(page, "phone")
    page.context.close()


def make_traffic(requests: APIRequestContext, url: str) -> None:
    """Calls of several sizes, so that the system page has something to draw."""
    until = time.monotonic() + TRAFFIC_S
    while time.monotonic() < until:
        prompts = ["hi"] * (3 + int(time.monotonic()) % 7 * 2)
        requests.post(f"{url}/api/llm/batch", data={"prompts": prompts, "limit": 20})
        requests.post(f"{url}/api/llm/stream", data={"message": "hi", "max_tokens": 30})


def new_page(browser: Browser, locale: str, width: int = 1280, height: int = 800) -> Page:
    viewport = {"width": width, "height": height}
    return browser.new_context(viewport=viewport, locale=locale).new_page()


def shoot(page: Page, name: str) -> None:
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=str(FOLDER / f"{name}.png"))


def main(url: str) -> None:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        make_traffic(new_page(browser, "en-GB").request, url)
        for locale in LOCALES:
            take(browser, url, locale)
        take_phone(browser, url)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
