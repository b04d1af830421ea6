"""How a turn with tools goes: its modes, and the bounds of all turns of an agent."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["sync", "non_preemptive", "preemptive"]
"""What happens while tools run.

sync: nothing is said; non_preemptive: a bridge is spoken to its end; preemptive: a bridge is
spoken and cut off as soon as the results are there.
"""

Awaiting = Literal["all", "any"]
"""Whether the model is told of the results together, or of each as it comes."""

EagerStart = Literal["at_arguments", "at_turn_end"]
BridgeLength = Literal["learned", "fixed"]
BridgeStart = Literal["at_turn_end", "at_first_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPolicy:
    """Bounds and manners of an agent's turns.

    Attributes:
        start: when a tool without side effects starts: at the closing brace of its own arguments,
            or only when the model has finished speaking.
        bridge_start: when a bridge may begin: when the model has finished speaking, or already at
            its first whole call, where it has said nothing so far.
        max_rounds: how often the model may answer in one turn; in the last round without tools.
        max_calls: tools that run in one turn.
        turn_timeout_s: the turn as a whole, in seconds.
        bridge_max_tokens: the longest bridge.
        bridge_length: "learned" ends a bridge that is heard out about when the tools do, by how
            long they took before, and begins none that would have no time to say anything.
        sentence_grace_ms: how long a bridge may go on to the end of its sentence when the results
            are there.
        coalesce_s: with "any", how long after a result others are waited for; None for as long as
            the model took to begin its last answer, since so much is lost by asking twice.
        leave_grace_s: how long a tool with side effects may go on when its reader has gone; the
            others end at once.
        tool_threads: how many synchronous tools run at once.
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
