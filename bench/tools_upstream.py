"""The model that is asked in the turns with tools: every kind of request answered as the case says.

One model makes all calls in one reply. The other makes one a reply, as an engine wants it that
runs one tool after another.
"""

from collections.abc import Mapping
from typing import Any

from tools_model import Case

from xwe.mock import Behaviour, Rule, sized_arguments, sized_text
from xwe.mock.rules import kind_of, rounds_of

ALL_CALLS, ONE_CALL = "all-calls", "one-call"


def rules(case: Case) -> list[Rule]:
    """For both models; nothing but a request decides, so all rows may run at once."""
    calls = [
        {"name": f"tool_{number}", "arguments": sized_arguments(tokens)}
        for number, tokens in enumerate(case.arguments)
    ]
    preamble, tail = sized_text(case.preamble) or None, sized_text(case.tail) or None
    first = _paced(
        case, text=preamble, tool_calls=calls, text_after=tail, tool_arguments=case.arrival
    )
    return [
        *(_one_by_one(case, number, call) for number, call in enumerate(calls)),
        Rule(lambda body: kind_of(body) == "offers_tools" and body["model"] == ALL_CALLS, first),
        Rule("has_tool_results", _paced(case, text=sized_text(case.answer))),
        Rule("plain", _paced(case, text=sized_text(case.bridge))),
    ]


def _one_by_one(case: Case, number: int, call: Mapping[str, Any]) -> Rule:
    said = sized_text(case.preamble) or None if number == 0 else None
    return Rule(
        lambda body: body["model"] == ONE_CALL and rounds_of(body) == number,
        _paced(case, text=said, tool_calls=[call], tool_arguments=case.arrival),
    )


def _paced(case: Case, **said: Any) -> Behaviour:
    return Behaviour(
        latency_s=case.first_token_s, tokens_per_s=case.tokens_per_s, tokens_to_end=1, **said
    )
