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
SIZES = {"": {}, ".phone": {"width": 390, "height": 844}}
QUESTIONS = {
    "en-GB": "Write a four-line poem about a bridge in the morning mist.",
    "zh-CN": "写一首四行小诗，写晨雾中的一座桥。",
}
TRAFFIC_S = 100
SETTLED_MS = 400


def ask(page: Page, locale: str) -> None:
    page.fill("#prompt", QUESTIONS[locale])
    page.press("#prompt", "Enter")


def take(browser: Browser, url: str, locale: str, suffix: str, **size: int) -> None:
    """What everybody sees."""
    page = new_page(browser, locale, **size)
    page.goto(url)
    ask(page, locale)
    page.wait_for_selector(".prose blockquote")
    page.wait_for_timeout(SETTLED_MS * 2)
    shoot(page, f"first-answer{suffix}")

    page.goto(f"{url}/playground")
    page.click("#run")
    page.wait_for_selector("#figures:not([hidden])")
    page.mouse.move(0, 0)
    shoot(page, f"playground{suffix}")

    page.goto(f"{url}/stream")
    page.click("#read")
    page.wait_for_selector("#figures:not(:empty)")
    page.wait_for_selector("#read")
    page.mouse.move(0, 0)
    shoot(page, f"stream{suffix}")

    page.goto(f"{url}/tools")
    page.click("#empty button")
    page.wait_for_selector("#verdict[data-state=measured]")
    page.mouse.move(0, 0)
    page.locator("#lab").evaluate("lab => lab.scrollIntoView()")
    shoot(page, f"tools-lab{suffix}")

    page.goto(f"{url}/system")
    page.wait_for_selector("[data-state=shown]")
    shoot(page, f"system{suffix}")
    page.context.close()


def take_signed_in(browser: Browser, url: str, locale: str, suffix: str, **size: int) -> None:
    """Signing in, and what a person who has an account sees."""
    page = new_page(browser, locale, **size)
    page.goto(f"{url}/login")
    shoot(page, f"login{suffix}")
    page.fill("[name=username]", f"ada{suffix}".replace(".", "-"))
    page.fill("[name=password]", "a good password")
    page.click("button[value=register]")
    page.wait_for_url(lambda address: "/login" not in address)
    page.goto(f"{url}/characters")
    page.wait_for_selector("#sample")
    shoot(page, f"characters-empty{suffix}")
    page.goto(f"{url}/characters/new")
    shoot(page, f"character-new{suffix}")
    page.goto(f"{url}/characters")
    page.click("#sample")
    page.wait_for_selector("#categories .category")
    shoot(page, f"character-making{suffix}")
    page.wait_for_selector("#making", state="hidden")
    shoot(page, f"character{suffix}")
    page.click("#chat")
    page.wait_for_load_state("networkidle")
    ask(page, locale)
    page.wait_for_selector(".answer[data-state=complete]:last-of-type")
    page.wait_for_timeout(SETTLED_MS * 4)
    shoot(page, f"character-chat{suffix}")
    page.goto(f"{url}/characters")
    page.wait_for_selector(".person-name")
    shoot(page, f"characters{suffix}")
    page.goto(f"{url}/account")
    shoot(page, f"account{suffix}")
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
        for locale, language in LOCALES.items():
            for size, dimensions in SIZES.items():
                take(browser, url, locale, size + language, **dimensions)
                take_signed_in(browser, url, locale, size + language, **dimensions)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
