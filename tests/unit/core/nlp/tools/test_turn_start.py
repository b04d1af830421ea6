"""When a tool starts: at its own closing brace if it may, and never when it must not."""

import asyncio
import threading

import pytest
from scripted_model import Gate, Listener, call, finish, text_of

from xwe.core.nlp.completion import Delta, ToolCallDelta
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.tool import tool
from xwe.errors import StreamInterruptedError


def gated(gate, name="slow", **options):
    async def function() -> str:
        """Waits for the test."""
        return await gate()

    return tool(name=name, **{"effect": "read_only", **options})(function)


async def test_a_tool_starts_at_the_closing_brace_of_its_own_arguments(model, agent_of):
    gate, more = Gate(), asyncio.Event()
    model.reply(call("slow", "{}", "a", 0), more, call("slow", '{"x', "b", 1), finish("tool_calls"))
    turn = Listener(agent_of(gated(gate)).run_async("go"))
    await gate.entered.wait()
    assert not more.is_set(), "the model is still writing the next call"
    await turn.leave()


async def test_the_last_and_only_call_starts_before_the_turn_has_ended(model, agent_of):
    gate, end = Gate(), asyncio.Event()
    model.reply(call("slow"), end, finish("tool_calls"))
    model.reply("ok", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go", mode="sync"))
    await gate.entered.wait()
    assert not turn.of(events.StepEnded)
    gate.opened.set()
    await turn.until(events.CallFinished)
    end.set()
    assert text_of(await turn.end()) == "ok"
    assert gate.runs == 1


async def test_arguments_in_pieces_start_the_tool_with_the_piece_that_closes_them(model, agent_of):
    started, rest = asyncio.Event(), asyncio.Event()

    @tool(effect="idempotent")
    async def note(text: str) -> str:
        started.set()
        return text

    model.reply(
        Delta(tool_calls=(ToolCallDelta(0, "a", "note", '{"text": "a}'),)),
        rest,
        Delta(tool_calls=(ToolCallDelta(0, None, None, '{b"'),)),
        Delta(tool_calls=(ToolCallDelta(0, None, None, "}"),)),
        finish("tool_calls"),
    )
    model.reply("ok", finish())
    turn = Listener(agent_of(note).run_async("go", mode="sync"))
    await turn.until(events.CallArguments)
    assert not started.is_set()
    rest.set()
    await turn.end()
    assert turn.of(events.CallReady)[0].arguments == '{"text": "a}{b"}'
    assert turn.of(events.CallFinished)[0].output == "a}{b"


async def test_a_tool_with_side_effects_waits_for_a_clean_finish(model, agent_of):
    gate, end = Gate(), asyncio.Event()
    gate.opened.set()
    model.reply(call("pay"), end, finish("tool_calls"))
    model.reply("paid", finish())
    turn = Listener(agent_of(gated(gate, "pay", effect="side_effect")).run_async("go", mode="sync"))
    await turn.until(events.CallReady)
    await asyncio.sleep(0)
    assert gate.runs == 0
    end.set()
    await turn.end()
    assert gate.runs == 1


async def test_every_tool_waits_for_the_turns_end_where_the_policy_says_so(model, agent_of):
    gate, end = Gate(), asyncio.Event()
    gate.opened.set()
    model.reply(call("slow"), end, finish("tool_calls"))
    model.reply("ok", finish())
    agent = agent_of(gated(gate), policy=AgentPolicy(start="at_turn_end"))
    turn = Listener(agent.run_async("go", mode="sync"))
    await turn.until(events.CallReady)
    await asyncio.sleep(0)
    assert gate.runs == 0
    end.set()
    await turn.end()
    assert gate.runs == 1


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_nothing_runs_after_a_reply_that_was_cut_off(model, agent_of, reason):
    pay = Gate()
    model.reply(call("pay", "{}", "a", 0), call("pay", '{"half', "b", 1), finish(reason))
    turn = Listener(agent_of(gated(pay, "pay", effect="side_effect")).run_async("go"))
    await turn.end()
    assert pay.runs == 0
    assert {event.call_id for event in turn.of(events.CallFailed)} == {"a", "b"}
    assert turn.events[-1].finish_reason == reason
    assert len(model.requests) == 1


async def test_an_eager_tool_ends_with_the_reply_that_was_cut_off(model, agent_of):
    gate, end = Gate(), asyncio.Event()
    model.reply(call("slow"), end, finish("length"))
    turn = Listener(agent_of(gated(gate)).run_async("go"))
    await gate.entered.wait()
    end.set()
    await turn.end()
    assert gate.cancelled == 1
    assert "length" in turn.of(events.CallFailed)[0].error


async def test_nothing_runs_after_an_error(model, agent_of):
    pay = Gate()
    model.reply("Well", call("pay"), StreamInterruptedError("gone"))
    turn = Listener(agent_of(gated(pay, "pay", effect="side_effect")).run_async("go"))
    with pytest.raises(StreamInterruptedError):
        await turn.end()
    assert pay.runs == 0
    assert text_of(turn.events) == "Well"
    assert turn.of(events.CallFailed)


async def test_broken_arguments_are_answered_and_never_run(model, agent_of):
    gate = Gate()
    model.reply(call("slow", '{"city": }'), finish("tool_calls"))
    second = model.reply("sorry", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go"))
    assert text_of(await turn.end()) == "sorry"
    assert gate.runs == 0
    calling, result = second.messages[-2:]
    assert calling["tool_calls"][0]["function"]["arguments"] == "{}", "no server parses the other"
    assert result["content"].startswith("[error]")


async def test_a_validation_error_is_the_tools_result_so_that_the_model_can_mend_it(
    model, agent_of
):
    @tool(effect="read_only")
    async def weather(city: str, days: int) -> str:
        return f"{city} {days}"

    model.reply(call("weather", {"city": "北京", "days": "soon"}), finish("tool_calls"))
    second = model.reply(call("weather", {"city": "北京", "days": 2}), finish("tool_calls"))
    third = model.reply("ok", finish())
    turn = Listener(agent_of(weather).run_async("go", mode="sync"))
    await turn.end()
    assert "days" in second.messages[-1]["content"]
    assert third.messages[-1]["content"] == "北京 2"


async def test_an_unknown_tool_is_answered_with_those_there_are(model, agent_of):
    model.reply(call("fly"), finish("tool_calls"))
    second = model.reply("I cannot", finish())
    turn = Listener(agent_of(gated(Gate(), "walk")).run_async("go"))
    await turn.end()
    assert "walk" in second.messages[-1]["content"]


async def test_a_synchronous_tool_runs_in_the_pool_and_blocks_nobody(model, agent_of):
    released = threading.Event()

    @tool(effect="read_only")
    def blocking() -> str:
        released.wait()
        return threading.current_thread().name

    model.reply(call("blocking"), finish("tool_calls"))
    model.reply("I am still talking", finish())
    model.reply("ok", finish())
    turn = Listener(agent_of(blocking).run_async("go", mode="non_preemptive"))
    await turn.until(events.TextEnded)
    released.set()
    await turn.end()
    assert turn.of(events.CallFinished)[0].output.startswith("xwe-tool")
