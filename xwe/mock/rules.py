"""Behaviour chosen by what a request is, not by when it arrives.

A turn with tools asks the model several times, at moments that depend on the tools. A script goes
by the order of requests and cannot tell them apart; a rule can.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xwe.mock.behaviour import Behaviour

RequestKind = Literal["offers_tools", "has_tool_results", "plain"]
"""The part a request plays in a turn with tools.

has_tool_results: there are tool results after the last user message.
offers_tools: there are none, and the model may call tools.
plain: neither; for instance a request for text while tools run.
"""


def kind_of(body: Mapping[str, Any]) -> RequestKind:
    """The kind of a request, valid or not."""
    if any(message.get("role") == "tool" for message in _since_the_user(body)):
        return "has_tool_results"
    may_call = bool(body.get("tools")) and body.get("tool_choice") != "none"
    return "offers_tools" if may_call else "plain"


def rounds_of(body: Mapping[str, Any]) -> int:
    """How many times the model has called tools since the last user message."""
    return sum(bool(message.get("tool_calls")) for message in _since_the_user(body))


def _since_the_user(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return ()
    said: list[Mapping[str, Any]] = []
    for message in messages:
        if not isinstance(message, dict):
            continue
        if message.get("role") == "user":
            said.clear()
        else:
            said.append(message)
    return said


@dataclass(frozen=True, slots=True)
class Rule:
    """The behaviour for certain requests.

    Attributes:
        when: which requests: a kind, or a function that is true for their decoded bodies. The body
            has not been checked yet.
        behaviour: how they are answered.
    """

    when: RequestKind | Callable[[Mapping[str, Any]], object]
    behaviour: Behaviour

    def is_for(self, body: Mapping[str, Any]) -> bool:
        """Whether the rule applies to a request."""
        return bool(self.when(body)) if callable(self.when) else kind_of(body) == self.when
