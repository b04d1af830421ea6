"""What the model is told: valid conversations; nothing is lost, nothing is invented."""

import asyncio

import pytest
from scripted_model import Gate, Listener, call, finish

from xwe.core.nlp.completion import Delta
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.conversation import check_conversation
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.tool import tool
from xwe.errors import InvalidRequestError


@tool(effect="read_only")
async def echo(text: str = "") -> str:
    """Says it again."""
    return f"echo {text}"


async def test_every_call_has_exactly_one_result_whatever_came_of_it(model, agent_of):
    @tool(effect="read_only")
    async def broken() -> str:
        raise ValueError("no such thing")

    model.reply(
        call("echo", {"text": "hi"}, "a", 0),
        call("broken", "{}", "b", 1),
        call("nobody", "{}", "c", 2),
        call("echo", '{"text": 1', "d", 3),
        finish("tool_calls"),
    )
    second = model.reply("ok", finish())
    await Listener(agent_of(echo, broken).run_async("go", mode="sync")).end()
    results = [m for m in second.messages if m["role"] == "tool"]
    assert [m["tool_call_id"] for m in results] == ["a", "b", "c", "d"]
    assert results[0]["content"] == "echo hi"
    assert results[1]["content"] == "[error] ValueError: no such thing"
    assert all(m["content"].startswith("[error]") for m in results[2:])
    check_conversation(second.messages)


async def test_bridge_text_never_goes_into_the_message_that_makes_the_calls(model, agent_of):
    gate = Gate()

    @tool(effect="read_only")
    async def slow() -> str:
        return await gate()

    model.reply("Let me look.", call("slow", "{}", "a"), finish("tool_calls"))
    bridge = model.reply("While you wait.", finish())
    final = model.reply("ok", finish())
    turn = Listener(agent_of(slow).run_async("go", mode="non_preemptive"))
    await turn.until(events.StepEnded, kind="bridge")
    gate.opened.set()
    await turn.end()
    calling = next(m for m in final.messages if m.get("tool_calls"))
    assert calling["content"] == "Let me look."
    assert [m["role"] for m in final.messages] == ["user", "assistant", "tool", "system"]
    assert [m["role"] for m in bridge.messages] == ["user", "system"]
    assert "slow({})" in bridge.messages[-1]["content"]
    assert "<said>Let me look.</said>" in bridge.messages[-1]["content"]
    assert "tools" not in bridge.options


async def test_fields_that_are_not_known_are_sent_back_as_they_came(model, agent_of):
    model.reply(
        Delta(extra={"reasoning_content": "I should "}),
        Delta(extra={"reasoning_content": "echo."}),
        call("echo", "{}", "a"),
        finish("tool_calls"),
    )
    second = model.reply("ok", finish())
    await Listener(agent_of(echo).run_async("go", mode="sync")).end()
    calling = next(m for m in second.messages if m.get("tool_calls"))
    assert calling["reasoning_content"] == "I should echo."
    assert calling["content"] is None


async def test_missing_ids_are_made_once_and_used_everywhere(model, agent_of):
    model.reply(call("echo", {"text": "1"}), call("echo", {"text": "2"}), finish("tool_calls"))
    second = model.reply("ok", finish())
    turn = Listener(agent_of(echo).run_async("go", mode="sync"))
    await turn.end()
    calling = next(m for m in second.messages if m.get("tool_calls"))
    made = [c["id"] for c in calling["tool_calls"]]
    assert len(set(made)) == 2
    assert [m["tool_call_id"] for m in second.messages if m["role"] == "tool"] == made
    assert [event.call_id for event in turn.of(events.CallFinished)] == made


async def test_an_id_that_the_model_uses_again_is_a_call_of_its_own(model, agent_of):
    model.reply(call("echo", {"text": "1"}, "a"), finish("tool_calls"))
    model.reply(call("echo", {"text": "2"}, "a"), finish("tool_calls"))
    third = model.reply("ok", finish())
    await Listener(agent_of(echo).run_async("go", mode="sync")).end()
    check_conversation(third.messages)
    results = [m for m in third.messages if m["role"] == "tool"]
    assert [m["content"] for m in results] == ["echo 1", "echo 2"]
    assert len({m["tool_call_id"] for m in results}) == 2


async def test_two_rounds_of_calls_make_two_exchanges(model, agent_of):
    model.reply(call("echo", {"text": "1"}, "a"), finish("tool_calls"))
    model.reply("So far.", call("echo", {"text": "2"}, "b"), finish("tool_calls"))
    third = model.reply("ok", finish())
    await Listener(agent_of(echo).run_async("go", mode="sync")).end()
    roles = [m["role"] for m in third.messages]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]
    assert third.messages[3]["content"] == "So far."


async def test_identical_calls_run_once_and_both_are_answered(model, agent_of):
    gate = Gate("found")

    @tool(effect="read_only")
    async def search(query: str, limit: int = 3) -> str:
        return await gate()

    model.reply(
        call("search", '{"query": "a", "limit": 3}', "a", 0),
        call("search", '{ "limit":3, "query":"a" }', "b", 1),
        finish("tool_calls"),
    )
    second = model.reply("ok", finish())
    turn = Listener(agent_of(search).run_async("go", mode="sync"))
    await gate.entered.wait()
    gate.opened.set()
    await turn.end()
    assert gate.runs == 1
    assert [m["content"] for m in second.messages if m["role"] == "tool"] == ["found", "found"]


async def test_calls_that_differ_in_the_last_digit_of_a_long_number_are_two(model, agent_of):
    paid = []

    @tool(effect="side_effect")
    async def pay(wei: int) -> str:
        paid.append(wei)
        return "paid"

    model.reply(
        call("pay", {"wei": 10**20}, "a", 0),
        call("pay", {"wei": 10**20 + 1}, "b", 1),
        finish("tool_calls"),
    )
    model.reply("ok", finish())
    await Listener(agent_of(pay).run_async("go", mode="sync")).end()
    assert sorted(paid) == [10**20, 10**20 + 1]


async def test_arguments_nested_without_end_are_answered_like_any_others(model, agent_of):
    @tool(effect="read_only", parameters={"type": "object"})
    async def keep(**given: object) -> str:
        return "kept"

    nested = '{"a":' * 1000 + "{}" + "}" * 1000
    model.reply(call("keep", nested, "a", 0), call("keep", "{}", "b", 1), finish("tool_calls"))
    second = model.reply("ok", finish())
    await Listener(agent_of(keep).run_async("go", mode="sync")).end()
    results = [m["content"] for m in second.messages if m["role"] == "tool"]
    assert results == ["[error] The arguments are nested too deeply.", "kept"]


async def test_a_call_that_succeeded_is_not_run_again_in_a_later_round(model, agent_of):
    gate = Gate("sent")
    gate.opened.set()

    @tool(effect="side_effect")
    async def send() -> str:
        return await gate()

    model.reply(call("send", "{}", "a"), finish("tool_calls"))
    model.reply(call("send", "{}", "b"), finish("tool_calls"))
    third = model.reply("ok", finish())
    await Listener(agent_of(send).run_async("go", mode="sync")).end()
    assert gate.runs == 1
    assert third.messages[-1]["content"] == "sent"


async def test_a_failed_call_may_be_tried_again_unless_it_has_side_effects(model, agent_of):
    runs = {"read": 0, "write": 0}

    @tool(effect="read_only")
    async def read() -> str:
        runs["read"] += 1
        raise OSError("busy")

    @tool(effect="side_effect")
    async def write() -> str:
        runs["write"] += 1
        raise OSError("busy")

    for suffix in "12":
        model.reply(
            call("read", "{}", f"r{suffix}", 0),
            call("write", "{}", f"w{suffix}", 1),
            finish("tool_calls"),
        )
    third = model.reply("ok", finish())
    await Listener(agent_of(read, write).run_async("go", mode="sync")).end()
    assert runs == {"read": 2, "write": 1}
    assert "tried before" in third.messages[-1]["content"]


async def test_a_turn_makes_at_most_so_many_calls(model, agent_of):
    ran = []

    @tool(effect="read_only")
    async def count(number: int) -> int:
        ran.append(number)
        return number

    model.reply(
        *(call("count", {"number": n}, f"c{n}", n) for n in range(18)), finish("tool_calls")
    )
    second = model.reply("ok", finish())
    await Listener(agent_of(count).run_async("go", mode="sync")).end()
    assert sorted(ran) == list(range(16))
    assert sum(m["role"] == "tool" for m in second.messages) == 18
    assert "16" in second.messages[-1]["content"]


async def test_the_last_round_may_call_nothing_and_the_turn_ends_with_it(model, agent_of):
    for n in range(2):
        model.reply(call("echo", {"text": str(n)}, f"c{n}"), finish("tool_calls"))
    last = model.reply("That is all.", finish())
    agent = agent_of(echo, policy=AgentPolicy(max_rounds=3))
    await Listener(agent.run_async("go", mode="sync")).end()
    assert last.options["tool_choice"] == "none"
    assert "tool_choice" not in model.requests[0].options


async def test_a_model_that_calls_on_in_the_last_round_is_stopped(model, agent_of):
    for n in range(2):
        model.reply(call("echo", {"text": str(n)}, f"c{n}"), finish("tool_calls"))
    turn = Listener(agent_of(echo, policy=AgentPolicy(max_rounds=2)).run_async("go", mode="sync"))
    await turn.end()
    assert turn.events[-1].finish_reason == "max_rounds"
    assert turn.of(events.CallFailed, call_id="c1") or turn.of(events.CallFinished, call_id="c1")


async def test_only_the_chosen_tools_are_offered(model, agent_of):
    other = tool(effect="read_only", name="other")(echo.function)
    model.reply("ok", finish())
    await Listener(agent_of(echo, other).run_async("go", only=["other"])).end()
    offered = [t["function"]["name"] for t in model.requests[0].options["tools"]]
    assert offered == ["other"]


CALLING = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}


@pytest.mark.parametrize(
    "messages",
    [
        [CALLING, {"role": "tool", "tool_call_id": "a", "content": ""}],
        [CALLING, {"role": "user", "content": "?"}],
        [{"role": "tool", "tool_call_id": "a", "content": ""}],
        [CALLING, *[{"role": "tool", "tool_call_id": "a", "content": ""}] * 2],
        [{**CALLING, "tool_calls": [{"id": "a"}, {"id": "a"}]}],
    ],
    ids=["one result too few", "no result", "no call", "two results", "one id twice"],
)
def test_a_conversation_that_providers_refuse_is_refused_here(agent_of, messages):
    with pytest.raises(InvalidRequestError):
        agent_of().run_async(messages)


async def test_the_calls_results_reach_the_hook_in_the_moment_in_which_they_are_there(
    model, agent_of
):
    gate, heard = Gate("result"), []

    @tool(effect="read_only")
    async def slow() -> str:
        return await gate()

    model.reply(call("slow", "{}", "a"), asyncio.Event())
    agent = agent_of(slow, on_outcome=lambda *told: heard.append(told))
    turn = Listener(agent.run_async("go"))
    await gate.entered.wait()
    gate.opened.set()
    await turn.until(events.CallFinished)
    call_id, name, outcome = heard[0]
    assert (call_id, name, outcome.text, outcome.is_ok) == ("a", "slow", "result", True)
    await turn.leave()
