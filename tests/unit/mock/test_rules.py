"""Which rule applies to which request."""

import pytest

from xwe.mock import Behaviour, Rule
from xwe.mock.rules import kind_of, rounds_of

TOOLS = [{"type": "function", "function": {"name": "weather"}}]
USER = {"role": "user", "content": "hi"}
CALLING = {"role": "assistant", "tool_calls": [{"id": "c1"}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "rain"}


@pytest.mark.parametrize(
    ("body", "kind", "rounds"),
    [
        ({"messages": [USER], "tools": TOOLS}, "offers_tools", 0),
        ({"messages": [USER], "tools": TOOLS, "tool_choice": "required"}, "offers_tools", 0),
        ({"messages": [USER], "tools": TOOLS, "tool_choice": "none"}, "plain", 0),
        ({"messages": [USER]}, "plain", 0),
        ({"messages": [USER], "tools": []}, "plain", 0),
        ({"messages": [USER, CALLING, RESULT]}, "has_tool_results", 1),
        ({"messages": [USER, CALLING, RESULT], "tools": TOOLS}, "has_tool_results", 1),
        (
            {"messages": [USER, CALLING, RESULT, CALLING, RESULT, {"role": "system"}]},
            "has_tool_results",
            2,
        ),
        ({"messages": [USER, CALLING, RESULT, USER]}, "plain", 0),
        ({"messages": [USER, CALLING, RESULT, USER], "tools": TOOLS}, "offers_tools", 0),
        ({}, "plain", 0),
        ({"messages": "none"}, "plain", 0),
        ({"messages": ["none", 3]}, "plain", 0),
    ],
)
def test_a_request_has_one_kind_and_counts_its_rounds(body, kind, rounds):
    assert (kind_of(body), rounds_of(body)) == (kind, rounds)


def test_a_rule_is_for_a_kind_or_for_what_its_function_says():
    offering = {"messages": [USER], "tools": TOOLS, "model": "slow"}
    assert Rule("offers_tools", Behaviour()).is_for(offering)
    assert not Rule("plain", Behaviour()).is_for(offering)
    assert Rule(lambda body: body["model"] == "slow", Behaviour()).is_for(offering)
    assert not Rule(lambda body: body["model"] == "fast", Behaviour()).is_for(offering)
