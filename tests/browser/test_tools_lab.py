"""The tools lab runs a question with tools: what ran when, what was said, and how long it took."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from xwe.mock import Behaviour, MockServer, sized_text

pytestmark = pytest.mark.browser

# Slow enough to see what happens in between; the tools themselves take 2.5 s.
PACE = {"latency_s": 0.2, "tokens_per_s": 50}
CALLS = [
    {"name": "weather", "arguments": {"city": "北京"}},
    {"name": "food", "arguments": {"city": "北京"}},
]
MODES = ["sync", "non_preemptive", "preemptive"]
ANSWER = "It is **sunny**; try the roast duck."
BRIDGE_TOKENS = 170
# A bridge that is still spoken when the tools are done, however late they are.
LONG_BRIDGE = Behaviour(latency_s=0.2, tokens_per_s=5, text=sized_text(2 * BRIDGE_TOKENS))

# The reference case of the timing model: three calls of 25 tokens each at 50 tokens/s.
REFERENCE = {
    "F": 0.3, "r": 50, "T": 0, "B": 300, "G": 150, "hasPreamble": False,
    "calls": [
        {"a": 0.8, "L": 2, "isEager": True},
        {"a": 1.3, "L": 1, "isEager": True},
        {"a": 1.8, "L": 0.5, "isEager": True},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Iterator[MockServer]:
    with MockServer(Behaviour()) as server:
        yield server


@pytest.fixture(scope="module")
def lab_server(serve: Callable[..., Any], model: MockServer) -> Any:
    return serve(LLM_BASE_URL=model.base_url)


@pytest.fixture
def page(open_page: Callable[..., Page], lab_server: Any, model: MockServer) -> Iterator[Page]:
    model.reset()
    answer_with(model, plain=Behaviour(**PACE, text=sized_text(BRIDGE_TOKENS)))
    page = open_page(f"{lab_server.url}/tools", locale="en-GB")
    expect(page.locator("label.tool")).to_have_count(4)
    yield page
    # What still runs would go on without its page, and ask the model in the midst of other tests.
    if page.locator("#stop").is_visible():
        page.click("#stop")
        expect(page.locator("#stop")).to_be_hidden()


def choose(page: Page, name: str, value: str) -> None:
    page.locator(f"[name={name}][value={value}]").check()


def run_one(page: Page, mode: str) -> Locator:
    choose(page, "mode", mode)
    page.click("[data-do=run]:visible")
    return page.locator(f".run[data-mode={mode}]")


def answer_with(model: MockServer, text: str = ANSWER, plain: Behaviour = LONG_BRIDGE) -> None:
    model.script_by_kind(
        offers_tools=Behaviour(**PACE, tool_calls=CALLS),
        has_tool_results=Behaviour(**PACE, text=text),
        plain=plain,
    )


def hold(page: Page, *more: dict[str, Any]) -> None:
    """Have the next run stand still while its first tool runs, after `more` events of it."""
    call = {"toolCallId": "c", "toolName": "weather"}
    events: list[dict[str, Any]] = [
        {"type": "data-mark", "data": {"what": "step-start", "at": 0, "kind": "answer"}},
        {"type": "tool-input-start", **call},
        {"type": "tool-input-available", **call, "input": {"city": "x"}},
        {"type": "data-mark", "data": {"what": "call-ready", "at": 1, "callId": "c"}},
        {"type": "data-mark", "data": {"what": "tool-start", "at": 1, "callId": "c"}},
        *more,
    ]
    numbered = enumerate(events, 1)
    body = "".join(f"id: {number}\ndata: {json.dumps(event)}\n\n" for number, event in numbered)
    headers = {"X-Generation-Id": "g", "Content-Type": "text/event-stream"}
    page.route("**/api/agent/stream", lambda route: route.fulfill(body=body, headers=headers))
    page.route("**/api/generations/g/**", lambda route: route.abort())  # it stays as it is


def ends(run: Locator, state: str = "complete") -> None:
    expect(run).to_have_attribute("data-state", state)


def figure_ms(run: Locator, row: str, cell: str = "measured") -> float:
    """A time of the table, in milliseconds; it is written as "1.23 s" or "−4 ms"."""
    value, unit = run.locator(f"[data-row={row}] [data-cell={cell}]").inner_text().split()
    number = float(value.replace("−", "-").replace("±", "").replace(",", ""))
    return number * (1000 if unit == "s" else 1)


def test_before_the_first_run_the_page_says_what_it_is_and_has_one_button(page: Page) -> None:
    expect(page.locator("#empty h2")).to_have_text("Three ways to wait, on one clock")
    expect(page.locator("[data-do=run]:visible")).to_have_count(1)
    expect(page.locator("#empty button")).to_have_text("Run all three")
    expect(page.locator("#lab")).to_be_hidden()
    expect(page.locator("[name=message]")).to_have_value(
        "What is the weather like in Beijing today, and what food is good there?"
    )
    expect(page.locator("label.tool").first).to_contain_text("weather read-only")
    expect(page.locator("label.tool").first).to_contain_text("Today's weather in a city.")


def test_three_modes_run_side_by_side_and_are_measured_beside_computed(page: Page) -> None:
    page.click("#empty button")
    runs = {mode: page.locator(f".run[data-mode={mode}]") for mode in MODES}
    for run in runs.values():
        ends(run)
        expect(run.locator(".said").last).to_contain_text("It is sunny; try the roast duck.")
        expect(run.locator(".said").last).to_have_attribute("data-kind", "answer")
        for row in ("firstText", "firstGrounded", "total"):
            figure_ms(run, row, "difference")  # how large it is, is the machine's affair
            assert figure_ms(run, row, "computed") > 0
        expect(run.locator("[data-row=wastedTokens] [data-cell=computed]")).to_have_text("0")
        expect(run.locator(".explained")).to_contain_text("R + F")
    # Within each run: how fast the model was may differ from one to another.
    for mode, run in runs.items():
        first, grounded = (
            figure_ms(run, row, "computed") for row in ("firstText", "firstGrounded")
        )
        assert first == grounded if mode == "sync" else first < grounded
    expect(page.locator("#verdict")).to_contain_text("Preemptive: first text after")
    beyond = "document.documentElement.scrollHeight - document.documentElement.clientHeight"
    assert page.evaluate(beyond) == 0
    tops = page.locator(".run").evaluate_all("all => all.map(run => run.getBoundingClientRect().y)")
    assert len(tops) == len(MODES)
    assert len(set(tops)) == 1
    assert page.problems == []


def test_a_preemption_is_marked_in_the_text_and_on_the_timeline(
    page: Page, model: MockServer
) -> None:
    answer_with(model)
    run = run_one(page, "preemptive")
    bridge = run.locator(".said[data-kind=bridge]")
    expect(bridge.locator(".said-label")).to_have_text("While waiting")
    ends(run)
    shown = bridge.locator(".prose").inner_text()
    assert sized_text(2 * BRIDGE_TOKENS).startswith(shown.strip())
    expect(bridge.locator(".said-cut")).to_be_visible()
    expect(bridge.locator(".said-cut")).to_contain_text(f"Cut off after {len(shown)} characters")
    expect(run.locator(".cut-line")).to_have_count(1)
    expect(run.locator(".cut-label")).to_have_text("cut")
    summary = run.locator(".timeline svg").get_attribute("aria-label")
    assert "While waiting: " in summary
    assert "Cut off at " in summary
    names = ["Model, first turn", "While waiting", "Tool: weather", "Tool: food", "Answer"]
    expect(run.locator(".lane-name")).to_have_text(names)


def test_a_timeline_grows_while_the_turn_runs(page: Page) -> None:
    hold(page)
    run = run_one(page, "sync")
    expect(run.locator(".lane-bar.tool").first).to_be_visible()
    expect(run.locator(".lane-times").nth(2)).to_contain_text("from")
    width = "document.querySelector('.lane-bar.tool').getAttribute('width')"
    before = page.evaluate(width)  # at once: the next frame draws it anew
    page.wait_for_function(f"before => Number({width}) > Number(before)", arg=before)
    expect(run.locator(".call .spinner").first).to_be_visible()


def test_a_run_that_has_ended_shows_nothing_that_runs(page: Page) -> None:
    run = run_one(page, "sync")
    ends(run)
    expect(run.locator(".cut-line")).to_have_count(0)
    expect(run.locator(".call .spinner:visible")).to_have_count(0)
    expect(run.locator(".lane-times").nth(1)).to_have_text("nothing")


def test_a_call_unfolds_to_its_arguments_and_its_result_or_error(
    page: Page, model: MockServer
) -> None:
    wrong = {"name": "weather", "arguments": {"town": "北京"}}
    calls = Behaviour(tool_calls=[wrong, {"name": "calculate", "arguments": {"expression": "2+3"}}])
    model.script_by_kind(offers_tools=calls, has_tool_results=Behaviour(text=ANSWER))
    run = run_one(page, "sync")
    ends(run)
    failed, done = run.locator(".call").all()
    failed.locator("summary").click()
    expect(failed).to_have_attribute("data-state", "failed")
    expect(failed.locator(".call-input code")).to_contain_text('"town": "北京"')
    expect(failed.locator(".call-error code")).to_contain_text("city")
    done.locator("summary").click()
    expect(done.locator(".call-output code")).to_have_text("2+3 = 5")


def test_a_tool_that_tells_of_its_progress_has_a_bar(page: Page) -> None:
    progress = {"callId": "c", "fraction": 0.4, "message": "reading"}
    hold(page, {"type": "data-tool-progress", "data": progress})
    run = run_one(page, "sync")
    bar = run.get_by_role("progressbar", name="Tool progress")
    expect(bar).to_have_js_property("value", 0.4)
    expect(run.locator(".call-message")).to_have_text("40% · reading")
    expect(run.locator(".call-state")).to_have_text("running")


def test_only_the_tools_that_are_checked_are_offered(page: Page, model: MockServer) -> None:
    model.script(Behaviour(text="No tool is needed."))
    for name in ("food", "current_time", "calculate"):
        page.locator(f"[name=tool][value={name}]").uncheck()
    run = run_one(page, "preemptive")
    ends(run)
    (asked,) = model.requests
    assert [tool["function"]["name"] for tool in asked.body["tools"]] == ["weather"]
    expect(run.locator(".explained")).to_contain_text("called no tool")
    expect(run.locator("[data-row=firstGrounded] [data-cell=measured]")).to_have_text("–")


def test_one_run_is_stopped_and_the_others_go_on(page: Page, model: MockServer) -> None:
    answer_with(model)  # its bridge would go on for a minute
    page.click("#empty button")
    run = page.locator(".run[data-mode=non_preemptive]")
    expect(run.locator(".said[data-kind=bridge] .prose")).to_contain_text("two")
    run.get_by_role("button", name="Stop: Non-preemptive").click()
    ends(run, "stopped")
    expect(run.locator(".said[data-kind=bridge] .prose")).to_contain_text("two")
    expect(run.locator(".run-figures")).to_be_hidden()
    # "done" where the machine was so busy that the tool was faster than the click.
    expect(run.locator(".call").first).to_have_attribute("data-state", re.compile("left|done"))
    expect(page.locator("#verdict")).to_contain_text("Non-preemptive was stopped.")
    for mode in ("sync", "preemptive"):
        ends(page.locator(f".run[data-mode={mode}]"))
    verdict = page.locator("#verdict[data-state=measured]")
    expect(verdict).to_contain_text("Non-preemptive was stopped. Preemptive: first text after")
    expect(page.locator("#run")).to_be_visible()


def test_an_error_stands_beside_the_run_and_can_be_tried_again(
    page: Page, model: MockServer
) -> None:
    model.script(Behaviour(fault="status", status=401))
    run = run_one(page, "preemptive")
    ends(run, "failed")
    expect(run.locator(".trouble-title")).to_have_text("The model provider rejected the key")
    run.locator(".trouble [data-do=retry]").click()
    ends(run)
    expect(page.locator(".run")).to_have_count(1)
    expect(run.locator(".trouble")).to_have_count(0)


def test_a_list_of_tools_that_does_not_come_can_be_tried_again(page: Page) -> None:
    page.route("**/api/agent/tools", lambda route: route.abort())
    page.reload()
    expect(page.locator("#tools-trouble .trouble-title")).to_have_text(
        "The server cannot be reached"
    )
    page.unroute_all()
    page.click("#tools-trouble [data-do=retry]")
    expect(page.locator("label.tool")).to_have_count(4)
    expect(page.locator(".trouble")).to_have_count(0)


def test_a_dropped_network_is_rejoined_and_the_figures_are_still_the_servers(
    relay: Callable[..., Any], lab_server: Any, page: Page, model: MockServer
) -> None:
    answer_with(model, f"{ANSWER} ☂")
    wire = relay(lab_server.url, stop_within="☂")  # so that it does not end before it is cut
    page.goto(f"{wire.url}/tools")
    run = run_one(page, "preemptive")
    expect(run.locator(".said[data-kind=bridge] .prose")).to_contain_text("two")
    wire.cut()
    expect(run.locator(".reconnecting")).to_be_visible()
    wire.mend()
    wire.go_on()
    ends(run)
    expect(run.locator(".reconnecting")).to_be_hidden()
    expect(run.locator(".said").last).to_contain_text("It is sunny")
    assert_server_figures(page, run)


def assert_server_figures(page: Page, run: Locator) -> None:
    """Read anew from the beginning, in no time, the run has the same figures."""
    before = [figure_ms(run, row) for row in ("firstGrounded", "total")]
    page.reload()
    ends(run)
    assert [figure_ms(run, row) for row in ("firstGrounded", "total")] == before


def test_a_reload_reads_the_runs_again(page: Page, model: MockServer) -> None:
    answer_with(model)
    run = run_one(page, "preemptive")
    expect(run.locator(".said[data-kind=bridge] .prose")).to_contain_text("two")
    page.reload()
    ends(run)
    expect(run.locator(".said-cut:visible")).to_have_count(1)
    expect(run.locator(".said").last).to_contain_text("It is sunny")
    assert_server_figures(page, run)
    turn = ["offers_tools", "plain", "has_tool_results"]
    assert len(model.requests) == len(turn)


@pytest.mark.parametrize(
    ("mode", "awaiting", "expected"),
    [
        ("sync", "all", (3.1, 3.1, 6.1)),
        ("non_preemptive", "all", (2.1, 8.4, 11.4)),
        ("preemptive", "all", (2.1, 3.1, 6.1)),
        ("preemptive", "any", (2.1, 2.9, 5.9)),
    ],
)
def test_the_computed_figures_are_those_of_the_timing_model(
    page: Page, mode: str, awaiting: str, expected: tuple[float, ...]
) -> None:
    computed = page.evaluate(
        """async ([mode, awaiting, speeds]) => {
          const { compute } = await import("/static/js/timing_model.js");
          return compute(mode, awaiting, speeds);
        }""",
        [mode, awaiting, REFERENCE],
    )
    names = ("firstText", "firstGrounded", "total")
    assert tuple(computed[name] for name in names) == pytest.approx(expected)


def test_a_tool_with_an_effect_is_computed_from_the_turns_end(page: Page) -> None:
    late = [{**call, "isEager": False} for call in REFERENCE["calls"]]
    grounded = page.evaluate(
        """async (speeds) => {
          const { compute } = await import("/static/js/timing_model.js");
          return compute("sync", "all", speeds).firstGrounded;
        }""",
        {**REFERENCE, "calls": late},
    )
    assert grounded == pytest.approx(4.1)


@pytest.mark.parametrize(
    ("locale", "words"),
    [("en-GB", "Today's weather in a city."), ("zh-CN", "查询某城市今天的天气.")],
)
def test_a_tool_is_described_in_the_readers_language_alone(
    open_page: Callable[..., Page], lab_server: Any, locale: str, words: str
) -> None:
    page = open_page(f"{lab_server.url}/tools", locale=locale)
    weather = page.locator("label.tool", has=page.locator("[value=weather]"))
    expect(weather.locator(".tool-text")).to_have_text(words)
