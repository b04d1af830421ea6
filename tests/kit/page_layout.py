"""What is measured of a page in a real browser."""

from playwright.sync_api import Page


def settle(page: Page) -> None:
    """Wait for what comes in softly: half transparent, it has no contrast to speak of."""
    page.evaluate(
        """() => Promise.allSettled(
          document.getAnimations()
            .filter((each) => each.effect.getTiming().iterations !== Infinity)
            .map((each) => each.finished)
        )"""
    )


def frames(page: Page) -> None:
    """Wait for two frames: what is noticed in one, its scrolling for instance, has been then."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def at_newest(page: Page) -> None:
    """Wait until the newest line of a chat is in sight: what has grown is followed in a frame."""
    page.wait_for_function(
        """() => {
          const scroll = document.getElementById("scroll");
          return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 2;
        }"""
    )


def assert_fits(page: Page) -> None:
    """Nothing scrolls sideways, the page itself not at all, and fingers hit what they aim at."""
    wide = page.evaluate(
        """() => [...document.querySelectorAll("html, main, .scroll, .rail, .panel")]
          .filter((box) => box.scrollWidth > box.clientWidth)
          .map((box) => box.className || box.localName)"""
    )
    assert wide == []
    assert (
        page.evaluate(
            "() => { const r = document.documentElement; return r.scrollHeight - r.clientHeight; }"
        )
        == 0
    )
    targets = "button:visible, a:visible, input:visible, summary:visible"
    small = page.locator(targets).evaluate_all(
        """all => all
          .filter((target) => !target.matches(".link, .skip, .prose a")) // within a line of text
          .map((target) => [target.id || target.className, target.getBoundingClientRect()])
          .filter(([, box]) => Math.min(box.width, box.height) < 43.9)
          .map(([name]) => name)"""
    )
    assert small == []
