"""A bridge is as long as the tools leave time for, judging by how long they took before."""

import asyncio

import pytest
from scripted_model import Gate, Listener, call, finish, text_of

from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.timing_estimates import TimingEstimates
from xwe.core.nlp.tools.tool import tool


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def agent(agent_of, gate):
    """Its model begins after 0.3 s and says 50 tokens a second; its tool takes 2 s."""

    @tool(effect="read_only")
    async def slow() -> str:
        return await gate()

    def make(tool_s=2.0, **policy):
        agent = agent_of(slow, policy=AgentPolicy(**policy))
        agent.estimates.note_reply(0.3, 100, 2.0)
        agent.estimates.note_tool("slow", tool_s)
        return agent

    return make


async def test_a_bridge_that_is_heard_out_ends_about_when_the_tools_do(model, agent, gate):
    model.reply(call("slow"), finish("tool_calls"))
    bridge = model.reply("Bridge.", finish("length"))
    model.reply("ok", finish())
    turn = Listener(agent(tool_s=7.0).run_async("go", mode="non_preemptive"))
    await turn.until(events.StepEnded, kind="bridge")
    gate.opened.set()
    await turn.end()
    assert 24 <= bridge.options["max_tokens"] <= 350  # 50 a second in 7 s, and not the policy's 400


@pytest.mark.parametrize(
    ("mode", "policy"), [("preemptive", {}), ("non_preemptive", {"bridge_length": "fixed"})]
)
async def test_a_bridge_that_is_cut_anyway_or_of_fixed_length_is_not_shortened(
    model, agent, gate, mode, policy
):
    model.reply(call("slow"), finish("tool_calls"))
    bridge = model.reply("Bridge.", finish())
    model.reply("ok", finish())
    turn = Listener(agent(**policy).run_async("go", mode=mode))
    await turn.until(events.StepEnded, kind="bridge")
    gate.opened.set()
    await turn.end()
    assert bridge.options["max_tokens"] == AgentPolicy().bridge_max_tokens


async def test_a_bridge_that_would_have_no_time_is_not_begun(model, agent, gate):
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("ok", finish())
    turn = Listener(agent(tool_s=0.4).run_async("go", mode="preemptive"))
    await turn.until(events.StepEnded)
    gate.opened.set()
    assert text_of(await turn.end()) == "ok"
    assert len(model.requests) == 2


async def test_a_tool_that_takes_longer_than_before_is_bridged_after_all(model, agent, gate):
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("Sorry, it takes longer.", finish())
    model.reply("ok", finish())
    turn = Listener(agent(tool_s=0.01).run_async("go", mode="preemptive"))
    await turn.until(events.StepEnded, kind="bridge")
    gate.opened.set()
    assert text_of(await turn.end()) == "Sorry, it takes longer.ok"


async def test_an_agent_learns_from_its_turns(model, agent_of):
    @tool(effect="read_only")
    async def quick() -> str:
        await asyncio.sleep(0)
        return "done"

    model.reply(call("quick"), finish("tool_calls"))
    model.reply(*["piece "] * 20, finish())
    agent = agent_of(quick)
    assert agent.estimates.tool_s("quick") is None
    await Listener(agent.run_async("go", mode="sync")).end()
    assert agent.estimates.tool_s("quick") >= 0
    assert agent.estimates.bridge_tokens(3600.0) > 0


def test_what_took_longer_lately_is_believed_gradually():
    estimates = TimingEstimates()
    estimates.note_tool("a", 1.0)
    estimates.note_tool("a", 2.0)
    assert estimates.tool_s("a") == pytest.approx(1.3)
    assert estimates.bridge_tokens(10) is None
    estimates.note_reply(0.5, 100, 1.0)
    assert estimates.bridge_tokens(1.5) == 100
    assert estimates.bridge_tokens(0.6) == 0
