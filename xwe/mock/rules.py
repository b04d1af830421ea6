"""Behaviour chosen by what a request is, not by when it comes.

A turn with tools asks the model several times, at moments that depend on the tools. A script that
is taken in order cannot tell which request it answers; a rule can.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xwe.mock.behaviour import Behaviour

RequestKind = Literal["offers_tools", "has_tool_results", "plain"]
"""What a request is in a turn with tools.

has_tool_results: there are tools' results since the user last spoke, whatever else.
offers_tools: there are none, and the model may call tools.
plain: neither; for instance a request to go on talking while tools run.
"""


def kind_of(body: Mapping[str, Any]) -> RequestKind:
    """The one kind of a request, be it good or bad."""
    if any(message.get("role") == "tool" for message in _since_the_user(body)):
        return "has_tool_results"
    may_call = bool(body.get("tools")) and body.get("tool_choice") != "none"
    return "offers_tools" if may_call else "plain"


def rounds_of(body: Mapping[str, Any]) -> int:
    """How often the model has called tools since the user last spoke."""
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
    """How to behave towards some requests.

    Attributes:
        when: which ones: those of a kind, or those whose decoded body this is true of. The body
            has not been checked yet.
        behaviour: towards them.
    """

    when: RequestKind | Callable[[Mapping[str, Any]], object]
    behaviour: Behaviour

    def is_for(self, body: Mapping[str, Any]) -> bool:
        """Whether a request is one of them."""
        return bool(self.when(body)) if callable(self.when) else kind_of(body) == self.when
