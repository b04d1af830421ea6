"""What the model says while tools run, and when it is cut off."""

import asyncio

import pytest
from scripted_model import Gate, Listener, call, finish, text_of

from xwe.core.nlp.completion import Delta
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.tool import tool
from xwe.errors import InvalidRequestError, StreamInterruptedError


def gated(gate, name="slow", **options):
    async def function() -> str:
        """Waits for the test."""
        return await gate()

    return tool(name=name, **{"effect": "read_only", **options})(function)


async def test_sync_says_nothing_while_tools_run(model, agent_of):
    gate = Gate()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("grounded", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go", mode="sync"))
    await turn.until(events.StepEnded)
    assert len(model.requests) == 1
    gate.opened.set()
    assert text_of(await turn.end()) == "grounded"


async def test_non_preemptive_speaks_its_bridge_to_the_end(model, agent_of):
    gate, rest = Gate(), asyncio.Event()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("Meanwhile", rest, " I talk.", finish())
    third = model.reply("Grounded.", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go", mode="non_preemptive"))
    await turn.until(events.TextGrew, text="Meanwhile")
    gate.opened.set()
    await turn.until(events.CallFinished)
    assert len(model.requests) == 2
    rest.set()
    assert text_of(await turn.end()) == "Meanwhile I talk.Grounded."
    assert not turn.of(events.Interrupted)
    assert "<shown>Meanwhile I talk.</shown>" in third.messages[-1]["content"]


async def test_non_preemptive_waits_for_tools_that_outlast_the_bridge(model, agent_of):
    gate = Gate()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("Short.", finish())
    model.reply("Grounded.", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go", mode="non_preemptive"))
    await turn.until(events.StepEnded, kind="bridge")
    assert len(model.requests) == 2
    gate.opened.set()
    assert text_of(await turn.end()) == "Short.Grounded."


async def test_preemptive_cuts_the_bridge_when_the_results_are_there(model, agent_of):
    gate, never = Gate("27 degrees"), asyncio.Event()
    model.reply(call("slow", "{}", "a"), finish("tool_calls"))
    bridge = model.reply("Let me tell y", never)
    third = model.reply("It is 27.", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go", mode="preemptive"))
    await turn.until(events.TextGrew)
    gate.opened.set()
    assert text_of(await turn.end()) == "Let me tell yIt is 27."
    assert bridge.closed.is_set(), "the upstream request has been closed"
    cut = turn.of(events.Interrupted)[0]
    assert (cut.call_ids, cut.shown_chars, cut.text_id) == (("a",), 13, "text-1")
    assert cut.saved_tokens == AgentPolicy().bridge_max_tokens - 1
    assert "<shown>Let me tell y</shown>" in third.messages[-1]["content"]


async def test_the_bridge_is_cut_also_when_no_piece_of_it_is_coming(model, agent_of):
    gate, never = Gate(), asyncio.Event()
    model.reply(call("slow"), finish("tool_calls"))
    bridge = model.reply(never)
    model.reply("grounded", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go"))
    await bridge.begun.wait()
    gate.opened.set()
    assert text_of(await turn.end()) == "grounded"
    assert bridge.closed.is_set()
    assert turn.of(events.Interrupted)[0].text_id is None


async def test_pieces_that_were_not_shown_are_counted_and_not_claimed(model, agent_of):
    """The reader is slow: pieces that were in the inbox at the cut were never shown."""
    gate, never = Gate(), asyncio.Event()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("one ", "two ", "three ", never)
    third = model.reply("grounded", finish())
    settled = asyncio.Event()
    agent = agent_of(gated(gate), on_outcome=lambda *_: settled.set())
    shown = []
    async for event in agent.run_async("go"):
        if isinstance(event, events.TextGrew):
            shown.append(event.text)
            if event.text == "one ":
                gate.opened.set()
                await settled.wait()  # a slow reader: pieces and the result are waiting by now
        last = event
    text = "".join(shown[:-1])
    assert f"<shown>{text}</shown>" in third.messages[-1]["content"]
    assert len(shown) - 1 + last.timing.wasted_tokens == 3


async def test_the_bridge_is_skipped_when_all_results_are_there_before_it(model, agent_of):
    gate, end = Gate(), asyncio.Event()
    gate.opened.set()
    model.reply(call("slow"), end, finish("tool_calls"))
    model.reply("grounded", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go", mode="preemptive"))
    await turn.until(events.CallFinished)
    end.set()
    await turn.end()
    assert len(model.requests) == 2
    assert not turn.of(events.StepBegan, kind="bridge")


async def test_a_sentence_may_end_within_its_grace(model, agent_of):
    gate, rest, never = Gate(), asyncio.Event(), asyncio.Event()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("故宫很", rest, "大。还有", never)
    third = model.reply("晴。", finish())
    agent = agent_of(gated(gate), policy=AgentPolicy(sentence_grace_ms=60_000))
    turn = Listener(agent.run_async("go"))
    await turn.until(events.TextGrew)
    gate.opened.set()
    await turn.until(events.CallFinished)
    assert len(model.requests) == 2, "it is given time to finish its sentence"
    rest.set()
    assert text_of(await turn.end()) == "故宫很大。晴。"
    assert "<shown>故宫很大。</shown>" in third.messages[-1]["content"]


async def test_a_sentence_that_does_not_end_is_cut_after_its_grace(model, agent_of):
    gate, never = Gate(), asyncio.Event()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("and so on and", never)
    model.reply("grounded", finish())
    agent = agent_of(gated(gate), policy=AgentPolicy(sentence_grace_ms=20))
    turn = Listener(agent.run_async("go"))
    await turn.until(events.TextGrew)
    gate.opened.set()
    assert text_of(await turn.end()) == "and so on andgrounded"


async def test_any_tells_the_model_of_each_result_as_it_comes(model, agent_of):
    quick, slow, never = Gate("quick result"), Gate("slow result"), asyncio.Event()
    model.reply(call("quick", "{}", "q", 0), call("slow", "{}", "s", 1), finish("tool_calls"))
    model.reply("Bridge", never)
    interim = model.reply("Quick says.", finish())
    final = model.reply("Slow says.", finish())
    agent = agent_of(gated(quick, "quick"), gated(slow, "slow"), policy=AgentPolicy(coalesce_s=0))
    turn = Listener(agent.run_async("go", awaiting="any"))
    await turn.until(events.TextGrew)
    quick.opened.set()
    await turn.until(events.TextEnded, count=2)
    results = {m["tool_call_id"]: m["content"] for m in interim.messages if m["role"] == "tool"}
    assert results["q"] == "quick result"
    assert results["s"].startswith("[running]")
    assert "Do not call this again" in results["s"]
    slow.opened.set()
    assert text_of(await turn.end()) == "BridgeQuick says.Slow says."
    results = {m["tool_call_id"]: m["content"] for m in final.messages if m["role"] == "tool"}
    assert results == {"q": "quick result", "s": "slow result"}


async def test_any_waits_a_moment_for_results_that_come_together(model, agent_of):
    one, two = Gate("1"), Gate("2")
    model.reply(call("one", "{}", "a", 0), call("two", "{}", "b", 1), finish("tool_calls"))
    never = asyncio.Event()
    model.reply("Bridge", never)
    final = model.reply("Both.", finish())
    agent = agent_of(gated(one, "one"), gated(two, "two"), policy=AgentPolicy(coalesce_s=60))
    turn = Listener(agent.run_async("go", awaiting="any"))
    await turn.until(events.TextGrew)
    one.opened.set()
    await turn.until(events.CallFinished)
    two.opened.set()
    await turn.end()
    assert [m["content"] for m in final.messages if m["role"] == "tool"] == ["1", "2"]


async def test_with_any_and_preemptive_a_result_cuts_the_answer_to_another(model, agent_of):
    one, two, never = Gate("1"), Gate("2"), asyncio.Event()
    model.reply(call("one", "{}", "a", 0), call("two", "{}", "b", 1), finish("tool_calls"))
    model.reply(never)
    interim = model.reply("One is", never)
    final = model.reply("Both.", finish())
    agent = agent_of(gated(one, "one"), gated(two, "two"), policy=AgentPolicy(coalesce_s=0))
    turn = Listener(agent.run_async("go", awaiting="any"))
    one.opened.set()
    await turn.until(events.TextGrew, text="One is")
    two.opened.set()
    assert text_of(await turn.end()) == "One isBoth."
    assert interim.closed.is_set()
    assert "<shown>One is</shown>" in final.messages[-1]["content"]


async def test_a_result_that_comes_when_idle_does_not_cut_the_bridge(model, agent_of):
    gate, rest = Gate(), asyncio.Event()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("Bridge", rest, " to the end.", finish())
    model.reply("grounded", finish())
    agent = agent_of(gated(gate, on_result="when_idle"))
    turn = Listener(agent.run_async("go", mode="preemptive"))
    await turn.until(events.TextGrew)
    gate.opened.set()
    await turn.until(events.CallFinished)
    rest.set()
    assert text_of(await turn.end()) == "Bridge to the end.grounded"


async def test_nobody_waits_for_a_silent_tool_and_its_result_is_still_reported(model, agent_of):
    gate = Gate("logged")
    model.reply(call("log"), finish("tool_calls"))
    second = model.reply("Done.", finish())
    turn = Listener(agent_of(gated(gate, "log", on_result="silent")).run_async("go"))
    await turn.until(events.TextEnded)
    assert second.messages[-1]["content"].startswith("[running]")
    gate.opened.set()
    await turn.end()
    assert turn.of(events.CallFinished)[0].output == "logged"
    assert isinstance(turn.events[-1], events.TurnEnded)


async def test_a_bridge_that_fails_does_not_take_the_turn_with_it(model, agent_of):
    gate = Gate()
    model.reply(call("slow"), finish("tool_calls"))
    model.reply("Brid", StreamInterruptedError("gone"))
    model.reply("grounded", finish())
    turn = Listener(agent_of(gated(gate)).run_async("go"))
    await turn.until(events.StepEnded, kind="bridge")
    gate.opened.set()
    assert text_of(await turn.end()) == "Bridgrounded"


async def test_a_bridge_can_begin_at_the_first_call_when_nothing_has_been_said(model, agent_of):
    gate, rest, never = Gate(), asyncio.Event(), asyncio.Event()
    model.reply(call("slow", "{}", "a", 0), rest, call("slow", "{} ", "b", 1), finish("tool_calls"))
    model.reply("Early", never)
    third = model.reply("grounded", finish())
    agent = agent_of(gated(gate), policy=AgentPolicy(bridge_start="at_first_call"))
    turn = Listener(agent.run_async("go"))
    await turn.until(events.TextGrew, text="Early")
    assert not rest.is_set(), "the model is still writing its calls"
    rest.set()
    await turn.until(events.StepEnded, kind="answer")
    gate.opened.set()
    assert text_of(await turn.end()) == "Earlygrounded"
    assert "<shown>Early</shown>" in third.messages[-1]["content"]


async def test_text_after_the_calls_ends_a_bridge_that_began_early(model, agent_of):
    gate, rest, never = Gate(), asyncio.Event(), asyncio.Event()
    model.reply(call("slow"), rest, "Tail.", finish("tool_calls"))
    early = model.reply("Early", never)
    third = model.reply("grounded", finish())
    agent = agent_of(gated(gate), policy=AgentPolicy(bridge_start="at_first_call"))
    turn = Listener(agent.run_async("go"))
    await turn.until(events.TextGrew, text="Early")
    rest.set()
    await early.closed.wait()
    gate.opened.set()
    assert text_of(await turn.end()) == "EarlyTail.grounded"
    assert third.messages[-3]["content"] == "Tail."
    assert "<shown>Early</shown>" in third.messages[-1]["content"]


async def test_reasoning_is_shown_as_such_and_not_counted_as_text(model, agent_of):
    model.reply(Delta(extra={"reasoning_content": "hm"}), "Answer", finish())
    turn = Listener(agent_of().run_async("go"))
    await turn.end()
    kinds = [(event.kind, event.text) for event in turn.of(events.TextGrew)]
    assert kinds == [("reasoning", "hm"), ("text", "Answer")]


@pytest.mark.parametrize(("field", "value"), [("mode", "turbo"), ("awaiting", "some")])
def test_an_unknown_mode_is_refused_before_anything_is_asked(agent_of, field, value):
    with pytest.raises(InvalidRequestError, match=value):
        agent_of().run_async("go", **{field: value})
