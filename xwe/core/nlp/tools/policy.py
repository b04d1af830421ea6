"""How turns with tools go: the modes of a turn, and an agent's policy for all of its turns."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["sync", "non_preemptive", "preemptive"]
"""What happens while tools run.

sync: nothing is said. non_preemptive: the model says a bridge to its end. preemptive: the model
says a bridge, which is cut off as soon as the results are there.
"""

Awaiting = Literal["all", "any"]
"""Whether the model gets the results together, or each one as it comes."""

EagerStart = Literal["at_arguments", "at_turn_end"]
BridgeLength = Literal["learned", "fixed"]
BridgeStart = Literal["at_turn_end", "at_first_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPolicy:
    """Limits and choices for an agent's turns.

    Attributes:
        start: when a tool without side effects starts: at the closing brace of its own arguments,
            or only when the model has finished its answer.
        bridge_start: when a bridge may begin: when the model has finished its answer, or already
            at its first complete call if it has said nothing so far.
        max_rounds: answers in one turn; the last one is made without calling tools.
        max_calls: tool calls in one turn.
        turn_timeout_s: time limit of the turn, in seconds.
        bridge_max_tokens: the longest bridge, in tokens.
        bridge_length: "learned" ends a bridge that will not be cut off at about the time when the
            tools end, judging by earlier turns, and begins none that would have no time.
        sentence_grace_ms: how long a bridge may go on to the end of its sentence once the results
            are there, in milliseconds.
        coalesce_s: with "any", how long the first result waits for others, in seconds; None for
            as long as the model took to begin its last answer, which is what asking twice costs.
        leave_grace_s: how long a tool with side effects may go on after its reader has left, in
            seconds; other tools end at once.
        tool_threads: synchronous tools that may run at the same time.
    """

    start: EagerStart = "at_arguments"
    bridge_start: BridgeStart = "at_turn_end"
    max_rounds: int = 8
    max_calls: int = 16
    turn_timeout_s: float = 120.0
    bridge_max_tokens: int = 400
    bridge_length: BridgeLength = "learned"
    sentence_grace_ms: float = 0.0
    coalesce_s: float | None = None
    leave_grace_s: float = 5.0
    tool_threads: int = 256
