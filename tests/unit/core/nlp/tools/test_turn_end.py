"""Time limits, and turns that end early: nothing is left behind and nothing is done twice."""

import asyncio
import threading

import pytest
from scripted_model import Gate, Listener, call, finish, text_of

from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.inbox import Timers
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.progress import Progress
from xwe.core.nlp.tools.tool import tool
from xwe.errors import DeadlineExceededError


def gated(gate, name="slow", **options):
    async def function() -> str:
        """Waits for the test."""
        return await gate()

    return tool(name=name, **{"effect": "read_only", **options})(function)


async def test_a_tool_that_takes_too_long_times_out_and_the_model_hears_of_it(model, agent_of):
    gate = Gate()
    model.reply(call("slow"), finish("tool_calls"))
    second = model.reply("too slow", finish())
    turn = Listener(agent_of(gated(gate, timeout_s=0.01)).run_async("go", mode="sync"))
    assert text_of(await turn.end()) == "too slow"
    assert gate.cancelled == 1
    assert second.messages[-1]["content"].startswith("[timeout]")


async def test_a_timeout_of_the_tools_own_making_is_its_error(model, agent_of):
    model.reply(call("slow"), finish("tool_calls"))
    second = model.reply("ok", finish())
    gate = Gate(TimeoutError("upstream"))
    gate.opened.set()
    await Listener(agent_of(gated(gate)).run_async("go", mode="sync")).end()
    assert second.messages[-1]["content"] == "[error] TimeoutError: upstream"


async def test_a_timed_out_side_effect_is_told_to_have_perhaps_happened(model, agent_of):
    model.reply(call("pay"), finish("tool_calls"))
    second = model.reply("ok", finish())
    pay = gated(Gate(), "pay", effect="side_effect", timeout_s=0.01)
    await Listener(agent_of(pay).run_async("go", mode="sync")).end()
    assert "may have happened" in second.messages[-1]["content"]


async def test_the_turn_has_a_deadline_of_its_own(model, agent_of, monkeypatch):
    gate, never, timers = Gate(), asyncio.Event(), []
    start = Timers.start
    monkeypatch.setattr(Timers, "start", lambda *timer: timers.append(timer))
    model.reply("I begin", call("slow"), never)
    agent = agent_of(gated(gate), policy=AgentPolicy(turn_timeout_s=0.01))
    turn = Listener(agent.run_async("go"))
    await gate.entered.wait()
    for timer in timers:  # only now: on a busy machine they might fire too early
        start(*timer)
    with pytest.raises(DeadlineExceededError):
        await turn.end()
    assert turn.of(events.CallFailed)[0].error.startswith("[timeout]")
    assert gate.cancelled == 1
    assert model.requests[0].closed.is_set()


async def test_a_reader_that_leaves_takes_everything_without_side_effects_along(model, agent_of):
    gate, never = Gate(), asyncio.Event()
    model.reply(call("slow"), finish("tool_calls"))
    bridge = model.reply("Bridge", never)
    turn = Listener(agent_of(gated(gate)).run_async("go"))
    await turn.until(events.TextGrew)
    await turn.leave()
    assert gate.cancelled == 1
    assert bridge.closed.is_set()


async def test_a_side_effect_that_has_begun_goes_on_for_its_grace(model, agent_of):
    pay, heard = Gate("paid"), asyncio.Event()
    outcomes = []

    def on_outcome(call_id, name, outcome):
        outcomes.append((name, outcome.text))
        heard.set()

    model.reply(call("pay"), finish("tool_calls"))
    model.reply("Bridge", asyncio.Event())
    agent = agent_of(
        gated(pay, "pay", effect="side_effect"),
        policy=AgentPolicy(leave_grace_s=1000),
        on_outcome=on_outcome,
    )
    turn = Listener(agent.run_async("go"))
    await pay.entered.wait()
    await turn.leave()
    assert pay.cancelled == 0
    pay.opened.set()
    await heard.wait()
    assert outcomes == [("pay", "paid")]
    assert pay.runs == 1


async def test_a_side_effect_that_outlasts_its_grace_is_ended(model, agent_of):
    pay, heard = Gate(), asyncio.Event()
    model.reply(call("pay"), finish("tool_calls"))
    model.reply("Bridge", asyncio.Event())
    agent = agent_of(
        gated(pay, "pay", effect="side_effect"),
        policy=AgentPolicy(leave_grace_s=0.01),
        on_outcome=lambda *_: heard.set(),
    )
    turn = Listener(agent.run_async("go"))
    await pay.entered.wait()
    await turn.leave()
    await heard.wait()
    assert pay.cancelled == 1


async def test_a_side_effect_that_has_not_begun_never_does(model, agent_of):
    pay, never = Gate(), asyncio.Event()
    model.reply(call("pay"), never, finish("tool_calls"))
    turn = Listener(agent_of(gated(pay, "pay", effect="side_effect")).run_async("go"))
    await turn.until(events.CallReady)
    await turn.leave()
    await asyncio.sleep(0)
    assert pay.runs == 0


async def test_a_side_effect_runs_once_also_when_its_bridge_is_preempted(model, agent_of):
    pay, look, never = Gate("paid"), Gate("seen"), asyncio.Event()
    model.reply(call("pay", "{}", "p", 0), call("look", "{}", "l", 1), finish("tool_calls"))
    model.reply("Bridge", never)
    model.reply("Seen.", finish())
    model.reply("Paid.", finish())
    agent = agent_of(
        gated(pay, "pay", effect="side_effect"),
        gated(look, "look"),
        policy=AgentPolicy(coalesce_s=0),
    )
    turn = Listener(agent.run_async("go", awaiting="any"))
    await turn.until(events.TextGrew)
    look.opened.set()
    await turn.until(events.TextGrew, text="Seen.")
    pay.opened.set()
    await turn.end()
    assert pay.runs == look.runs == 1


async def test_a_thousand_preempted_turns_leave_nothing_behind(model, agent_of):
    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    gates = []

    @tool(effect="read_only")
    async def slow() -> str:
        gates.append(Gate())
        return await gates[-1]()

    agent = agent_of(slow)
    for _ in range(1000):
        model.reply(call("slow"), finish("tool_calls"))
        bridge = model.reply("B", asyncio.Event())
        model.reply("ok", finish())
        async for event in agent.run_async("go"):
            if isinstance(event, events.TextGrew) and event.text == "B":
                gates[-1].opened.set()
        assert bridge.closed.is_set()
    assert asyncio.all_tasks() == before
    assert set(threading.enumerate()) <= threads
    assert all(request.closed.is_set() for request in model.requests)


async def test_progress_comes_from_any_thread_and_only_while_the_tool_runs(model, agent_of):
    kept = []

    @tool(effect="read_only")
    def download(progress: Progress) -> str:
        kept.append(progress)
        progress(0.5, "half")
        progress(1.0)
        return "whole"

    model.reply(call("download"), finish("tool_calls"))
    model.reply("ok", finish())
    turn = Listener(agent_of(download).run_async("go", mode="sync"))
    await turn.end()
    kept[0](0.9, "too late")
    told = [(event.fraction, event.message) for event in turn.of(events.CallProgress)]
    assert told == [(0.5, "half"), (1.0, "")]


def test_a_turn_is_read_from_synchronous_code_as_from_asynchronous(model, agent_of):
    @tool(effect="read_only")
    def add(a: int, b: int) -> int:
        return a + b

    model.reply(call("add", {"a": 1, "b": 2}), finish("tool_calls"))
    model.reply("3", finish())
    turn = list(agent_of(add).run("1 + 2", mode="sync"))
    assert text_of(turn) == "3"
    assert isinstance(turn[-1], events.TurnEnded)
