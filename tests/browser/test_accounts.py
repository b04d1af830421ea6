"""Signing up, in and out, and one's account, as a person does it in either language."""

import re
from collections.abc import Callable
from itertools import count

import pytest
from held_requests import hold, wait_for
from page_layout import assert_fits, settle
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.browser

PASSWORD = "a good password"
LOCALES = {
    "zh-CN": {"up": "注册", "in": "登录", "out": "退出登录", "short": "密码至少 8 个字符。"},
    "en-GB": {
        "up": "Create account",
        "in": "Sign in",
        "out": "Sign out",
        "short": "Passwords have at least 8 characters.",
    },
}
in_both_languages = pytest.mark.parametrize("locale", LOCALES)
NUMBERS = count(1)


@pytest.fixture
def name() -> str:
    return f"李白_{next(NUMBERS)}"


@pytest.fixture
def open_on(open_page, app_server) -> Callable[..., Page]:
    return lambda path="/login", **options: open_page(app_server.url + path, **options)


def fill(page: Page, username: str, password: str = PASSWORD) -> None:
    page.fill("[name=username]", username)
    page.fill("[name=password]", password)


def sign_up(page: Page, username: str, locale: str = "zh-CN") -> None:
    fill(page, username)
    page.click(f"#login button[value=register]:has-text('{LOCALES[locale]['up']}')")
    expect(page.locator(".rail-name")).to_have_text(username)


def listed(page: Page) -> None:
    """Wait for both lists: one that comes late would take the place of a newer one."""
    for name in ("sessions", "tokens"):
        expect(page.locator(f"#{name}")).to_have_attribute("aria-busy", "false")


def own_problems(page: Page) -> list[str]:
    """A refused request is reported by the browser itself; nothing else may complain."""
    return [each for each in page.problems if "Failed to load resource" not in each]


@in_both_languages
def test_sign_up_out_and_in(open_on, name, locale):
    texts = LOCALES[locale]
    page = open_on("/account", locale=locale)
    expect(page.locator("h1")).to_have_text(texts["in"])
    sign_up(page, name, locale)
    expect(page).to_have_url(re.compile(r"/account$"))
    page.click(f"#sign-out:has-text('{texts['out']}')")
    expect(page.locator("#login")).to_be_visible()
    expect(page.locator(".rail-name")).to_have_count(0)
    fill(page, name)
    page.press("[name=password]", "Enter")
    expect(page.locator(".rail-name")).to_have_text(name)
    assert own_problems(page) == []


def test_what_is_pressed_before_the_script_has_come_is_done_once_it_has(open_on, app_server, name):
    page = open_on("/account")
    sign_up(page, name)
    page.click("#sign-out")
    expect(page.locator("#login")).to_be_visible()
    held = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/js/login.js", hold)
    with page.expect_request("**/js/login.js"):
        page.goto(f"{app_server.url}/login?next=/account", wait_until="commit")
    fill(page, name)
    page.press("[name=password]", "Enter")
    page.press("[name=password]", "Enter")
    expect(page.locator("[name=password]")).to_have_value(PASSWORD)
    (script,) = held
    script.continue_()
    expect(page.locator(".rail-name")).to_have_text(name)
    expect(page.locator("#sessions .row")).to_have_count(1)
    assert own_problems(page) == []


def test_a_password_never_stands_in_the_address(open_on, app_server, name):
    page = open_on()
    page.route("**/js/login.js", lambda route: route.abort())
    page.goto(f"{app_server.url}/login")
    for _ in range(2):
        fill(page, name)
        page.press("[name=password]", "Enter")
    assert page.url == f"{app_server.url}/login"
    expect(page.locator("[name=password]")).to_have_value(PASSWORD)


@in_both_languages
def test_what_is_wrong_is_said_beside_the_fields(open_on, name, locale):
    texts = LOCALES[locale]
    page = open_on(locale=locale)
    fill(page, name, "short")
    page.click(f"#login button[value=register]:has-text('{texts['up']}')")
    expect(page.locator("#login-problem")).to_have_text(texts["short"])
    page.click(f"#login button[value=login]:has-text('{texts['in']}')")
    told = {"zh-CN": "用户名或密码不对。", "en-GB": "Wrong username or password."}
    expect(page.locator("#login-problem")).to_contain_text(told[locale])
    expect(page.locator("[name=username]")).to_have_value(name)
    assert own_problems(page) == []


@in_both_languages
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_both_pages_fit_and_are_accessible(open_on, assert_accessible, name, locale, width):
    page = open_on(locale=locale, width=width, height=700)
    page.click("#login button >> nth=0")
    expect(page.locator("#login-problem")).not_to_be_empty()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    fill(page, name)
    page.click(f"#login button[value=register]:has-text('{LOCALES[locale]['up']}')")
    page.wait_for_url("**/")
    page.goto(page.url + "account")
    expect(page.locator("#sessions .row")).to_have_count(1)
    listed(page)
    page.fill("#new-token [name=name]", "x" * 100)
    page.click("#new-token button")
    expect(page.locator("#tokens .row")).to_have_count(1)
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    assert own_problems(page) == []


def test_a_token_is_shown_once_and_can_be_deleted(open_on, name):
    page = open_on("/account")
    sign_up(page, name)
    expect(page.locator("#no-tokens")).to_be_visible()
    page.fill("#new-token [name=name]", "<b>脚本</b>")
    page.click("#new-token button")
    expect(page.locator("#tokens .row-name")).to_have_text("<b>脚本</b>")
    expect(page.locator("#secret")).to_contain_text("xwe_")
    page.reload()
    expect(page.locator("#tokens .row-name")).to_have_text("<b>脚本</b>")
    expect(page.locator("#secret")).to_be_empty()
    page.click("#tokens .row button")
    expect(page.locator("#confirm")).to_contain_text("删除令牌“<b>脚本</b>”？")
    page.keyboard.press("Escape")
    expect(page.locator("#confirm")).to_be_hidden()
    expect(page.locator("#tokens .row button")).to_be_focused()
    page.click("#tokens .row button")
    page.click("#confirm-go")
    expect(page.locator("#no-tokens")).to_be_visible()
    assert page.problems == []


def test_a_list_that_comes_late_does_not_take_the_place_of_a_newer_one(open_on, name):
    page = open_on("/account")
    sign_up(page, name)
    reading = hold(page, "**/api/me/tokens")
    page.reload(wait_until="commit")
    late = wait_for(page, reading)
    before = late.fetch()
    page.fill("#new-token [name=name]", "脚本")
    page.press("#new-token [name=name]", "Enter")
    wait_for(page, reading, 2).continue_()
    wait_for(page, reading, 3).continue_()
    expect(page.locator("#tokens .row")).to_have_count(1)
    with page.expect_response("**/api/me/tokens") as come:
        late.fulfill(response=before)
    come.value.finished()
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve))")  # it has been looked at
    expect(page.locator("#tokens .row")).to_have_count(1)
    expect(page.locator("#no-tokens")).to_be_hidden()
    assert page.problems == []


def test_a_token_that_is_deleted_is_shown_no_more(open_on, assert_accessible, name):
    page = open_on("/account", width=390)
    sign_up(page, name)
    listed(page)
    for number, purpose in enumerate(("甲", "乙"), 1):
        page.fill("#new-token [name=name]", purpose)
        page.click("#new-token button")
        expect(page.locator("#tokens .row")).to_have_count(number)
    delete = page.locator("#tokens .row", has_text="甲").locator("button")
    delete.click()
    settle(page)
    assert_fits(page)
    assert_accessible(page)
    page.click("#confirm-go")
    expect(page.locator("#tokens .row")).to_have_count(1)
    expect(page.locator("#secret")).to_contain_text("xwe_")  # the other one's
    page.click("#tokens .row button")
    page.click("#confirm-go")
    expect(page.locator("#no-tokens")).to_be_visible()
    expect(page.locator("#new-secret")).to_be_hidden()
    expect(page.locator("#secret")).to_be_empty()


def test_a_new_password_ends_the_other_browsers_session(open_on, name):
    here = open_on("/account")
    sign_up(here, name)
    there = open_on("/account", locale="en-GB")
    fill(there, name)
    there.press("[name=password]", "Enter")
    expect(there.locator("#sessions .row")).to_have_count(2)

    here.fill("[name=old]", PASSWORD)
    here.fill("[name=new]", "another password")
    here.press("[name=new]", "Enter")
    expect(here.locator("#password-done")).to_have_text("密码已修改。")
    expect(here.locator("#sessions .row")).to_have_count(1)
    there.reload()
    expect(there.locator("h1")).to_have_text("Sign in")


def test_one_browser_is_signed_out_from_another(open_on, name):
    here = open_on("/account")
    sign_up(here, name)
    there = open_on("/account")
    fill(there, name)
    there.press("[name=password]", "Enter")
    expect(there.locator("#sessions .row")).to_have_count(2)
    here.reload()
    here.locator("#sessions .row", has_text="最近使用").locator("button").click()
    here.click("#confirm-go")
    expect(here.locator("#sessions .row")).to_have_count(1)
    there.reload()
    expect(there.locator("h1")).to_have_text("登录")


def test_signing_up_can_be_closed(open_page, serve):
    page = open_page(serve(XWE_SIGNUP="closed").url + "/login")
    expect(page.locator("#login button")).to_have_count(1)
    expect(page.locator("#login")).to_contain_text("账号由运行这台服务器的人开通")


def test_what_is_pressed_shows_that_it_is_at_work_and_is_done_once(open_on, name):
    """On a slow line; the reader may be impatient."""
    page = open_on("/account")
    sign_in = hold(page, "**/auth/register")
    fill(page, name)
    button = page.locator("#login button[value=register]")
    button.click()
    expect(button).to_have_attribute("aria-busy", "true")
    drawn = "node => getComputedStyle(node, '::before').animationName"
    assert button.evaluate(drawn) == "spin"
    page.press("[name=password]", "Enter")
    button.click(force=True)  # it says itself that this does nothing
    wait_for(page, sign_in).continue_()
    expect(page.locator(".rail-name")).to_have_text(name)
    assert len(sign_in) == 1
    listed(page)

    making = hold(page, "**/api/me/tokens")
    page.reload(wait_until="commit")
    expect(page.locator("#tokens")).to_have_attribute("aria-busy", "true")
    page.wait_for_function("() => document.readyState === 'complete'")
    wait_for(page, making).continue_()
    listed(page)
    page.fill("#new-token [name=name]", "脚本")
    button = page.locator("#new-token button")
    page.press("#new-token [name=name]", "Enter")
    expect(button).to_have_attribute("aria-busy", "true")
    page.press("#new-token [name=name]", "Enter")
    sent = wait_for(page, making, 2)
    page.unroute("**/api/me/tokens")
    sent.continue_()
    expect(page.locator("#tokens .row")).to_have_count(1)
    expect(button).not_to_have_attribute("aria-busy", "true")
    assert [route.request.method for route in making] == ["GET", "POST"]
    assert page.problems == []


def test_a_list_that_did_not_come_can_be_asked_for_again(open_on, name):
    page = open_on("/account")
    sign_up(page, name)
    page.route("**/api/me/sessions", lambda route: route.abort())
    page.reload()
    expect(page.locator("#sessions-trouble .trouble-title")).to_have_text("连不上服务器")
    page.unroute("**/api/me/sessions")
    page.click("#sessions-trouble [data-do=retry]")
    expect(page.locator("#sessions .row")).to_have_count(1)
    expect(page.locator("#sessions-trouble .trouble")).to_have_count(0)


WRONG = {
    "zh-CN": "当前密码不对。请检查一遍，并留意大写锁定键。",
    "en-GB": "That is not your current password. Check it, and make sure Caps Lock is off.",
}


@in_both_languages
def test_an_error_is_told_in_sentences_about_what_was_done(open_on, name, locale):
    page = open_on("/account", locale=locale)
    sign_up(page, name, locale)
    page.fill("[name=old]", "not my password")
    page.fill("[name=new]", "another password")
    page.press("[name=new]", "Enter")
    expect(page.locator("#password-problem")).to_have_text(WRONG[locale])


def test_who_is_signed_out_elsewhere_is_told_so_and_can_go_on(open_on, name):
    """What was written stays: one signs in in another window, and presses once more."""
    page = open_on("/account", locale="en-GB")
    sign_up(page, name, "en-GB")
    expect(page.locator("#sessions .row")).to_have_count(1)
    listed(page)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.fill("#new-token [name=name]", "script")
    page.press("#new-token [name=name]", "Enter")
    expect(page.locator("#tokens-problem")).to_contain_text("You are no longer signed in. Sign")
    page.context.add_cookies(cookies)
    page.press("#new-token [name=name]", "Enter")
    expect(page.locator("#tokens .row-name")).to_have_text("script")

    page.context.clear_cookies()
    page.goto(page.url.replace("/account", "/playground"))
    page.context.add_cookies(cookies)
    page.reload()
    page.context.clear_cookies()
    page.route("**/api/llm/chat", lambda route: route.fulfill(status=401, json=UNAUTHORIZED))
    page.locator("#users").fill("2")
    page.click("#run")
    expect(page.locator(".trouble-title")).to_have_text("You are no longer signed in")
    link = page.locator(".trouble [data-do=sign-in]")
    expect(link).to_have_attribute("href", "/login?next=/playground")
    expect(link).to_have_attribute("target", "_blank")
    expect(page.locator(".token-form")).to_be_hidden()


UNAUTHORIZED = {"error": {"code": "unauthorized", "message": "Sign in", "retryable": False}}


def test_another_language_forgets_nothing_of_the_address(open_on, name):
    page = open_on("/login?next=/account&next=/x", locale="en-GB")
    page.click(".languages a")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("#login")).to_have_attribute("data-next", "/account")
    page.click(".languages a")
    expect(page).to_have_url(re.compile(r"/login\?next=%2Faccount&next=%2Fx&lang=en$"))
    sign_up(page, name, "en-GB")
    expect(page).to_have_url(re.compile(r"/account$"))


LONG_BROWSER = "Mozilla/5.0 (" + "X11; Linux x86_64 " * 8 + ")"


def test_a_buttons_words_fit_into_it_beside_a_long_text(open_on, name):
    page = open_on("/account", locale="en-GB", width=320)
    page.set_extra_http_headers({"User-Agent": LONG_BROWSER})
    sign_up(page, name, "en-GB")
    expect(page.locator("#sessions .row-name")).to_contain_text("X11")
    spilt = "all => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.id)"
    assert page.locator("button:visible").evaluate_all(spilt) == []
