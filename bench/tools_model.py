"""What a turn with tools takes at best, by arithmetic: nothing here runs anything.

A request's first token comes after F, and each of its tokens takes 1/r. The first reply says P
tokens, writes call i's arguments in A_i tokens, and says T more; call i then takes L_i. A bridge
is B tokens, the answer that knows the results is G. With

    a_i     = F + (P + A_1 + … + A_i)/r      call i's arguments are whole
    S       = F + (P + ΣA + T)/r             the first reply ends
    D_late  = S + max L                      the results, when tools start at S
    D_eager = max(S, max(a_i + L_i))         the results, when each starts at its a_i
    E_b     = S + F + B/r                    a bridge that is heard out ends

a mode asks for the answer at some R; its first token comes at R + F, its last at R + F + G/r.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

# The shortest bridge that is worth beginning, in tokens.
SHORTEST_BRIDGE = 24
# What cutting off a request and asking the next one costs at most.
CUT_S = 0.01

Arrival = Literal["trickle", "burst", "burst_at_end"]


@dataclass(frozen=True)
class Case:
    """The letters above; times in seconds, lengths in tokens.

    Attributes:
        arrival: trickling arguments and those that burst are whole at the same a_i; when all calls
            come at the end of the last one, every a_i is that of the last.
    """

    tokens_per_s: float = 50
    first_token_s: float = 0.3
    preamble: int = 0
    arguments: Sequence[int] = (25, 25, 25)
    tail: int = 0
    tools_s: Sequence[float] = (2, 1, 0.5)
    bridge: int = 300
    answer: int = 150
    arrival: Arrival = "trickle"

    def takes(self, tokens: int) -> float:
        return tokens / self.tokens_per_s

    @property
    def whole_at(self) -> list[float]:
        """a_i."""
        whole = [
            self.first_token_s + self.takes(self.preamble + tokens)
            for tokens in accumulate(self.arguments)
        ]
        return whole if self.arrival != "burst_at_end" else [whole[-1]] * len(whole)

    @property
    def turn_end(self) -> float:
        """S."""
        tokens = self.preamble + sum(self.arguments) + self.tail
        return self.first_token_s + self.takes(tokens)

    @property
    def results_late(self) -> float:
        """D_late."""
        return self.turn_end + max(self.tools_s)

    @property
    def results_at(self) -> list[float]:
        """When each result is there, with tools that start at their a_i; never before S."""
        return [
            max(self.turn_end, begun + takes)
            for begun, takes in zip(self.whole_at, self.tools_s, strict=True)
        ]

    @property
    def results_eager(self) -> float:
        """D_eager."""
        return max(self.results_at)

    @property
    def bridge_end(self) -> float:
        """E_b."""
        return self.turn_end + self.first_token_s + self.takes(self.bridge)


@dataclass(frozen=True)
class Times:
    """Seconds after a turn's beginning: the first text, the first that knows results, the end."""

    first_text: float
    grounded: float
    total: float


def sequential(case: Case) -> Times:
    """One call a request, each waited for."""
    asked = case.takes(case.preamble) + sum(
        case.first_token_s + case.takes(tokens) + takes
        for tokens, takes in zip(case.arguments, case.tools_s, strict=True)
    )
    return _silent(case, asked)


def parallel(case: Case) -> Times:
    """All calls in one reply, run together when it has ended."""
    return _silent(case, case.results_late)


def document_non_preemptive(case: Case) -> Times:
    return _bridged(case, max(case.bridge_end, case.results_late))


def document_preemptive(case: Case) -> Times:
    """With a cut that takes effect at once, and not when the next piece comes."""
    return _bridged(case, case.results_late + CUT_S)


def ours_sync(case: Case) -> Times:
    return _silent(case, case.results_eager)


def ours_non_preemptive(case: Case) -> Times:
    return _bridged(case, max(case.bridge_end, case.results_eager))


def ours_learned(case: Case) -> Times:
    """As above, by an agent that knows how long its tools take: it makes the bridge fit."""
    left = case.results_eager - case.turn_end - case.first_token_s
    tokens = min(case.bridge, int(left * case.tokens_per_s))
    if tokens < SHORTEST_BRIDGE:
        return ours_sync(case)
    return ours_non_preemptive(replace(case, bridge=tokens))


def ours_preemptive(case: Case) -> Times:
    return _bridged(case, case.results_eager + CUT_S)


def ours_preemptive_early(case: Case) -> Times:
    """As above, with a bridge that begins at the first whole call."""
    times = ours_preemptive(case)
    early = min(times.first_text, case.whole_at[0] + case.first_token_s)
    return Times(early, times.grounded, times.total)


def ours_any(case: Case) -> Times:
    """Told of each result as it comes: others are waited for as long as a first token takes.

    A later result cuts the answer that does not know it; the last one is not waited for.
    """
    coming = sorted(case.results_at)
    last, grounded, asked = coming[-1], None, 0.0
    while coming:
        asked = min(coming[0] + case.first_token_s, last) + CUT_S
        coming = [at for at in coming if at > asked]
        cut_at = min(coming[0] + case.first_token_s, last) if coming else float("inf")
        if grounded is None and asked + case.first_token_s < cut_at:
            grounded = asked + case.first_token_s
    times = _bridged(case, asked)
    return Times(times.first_text, times.grounded if grounded is None else grounded, times.total)


def lower_bound(case: Case) -> float:
    """When an engine that makes separate requests can have its first grounded token at best."""
    return max(case.turn_end, case.results_eager) + case.first_token_s


def _silent(case: Case, asked: float) -> Times:
    """Nothing is said between the first reply and the answer."""
    grounded = asked + case.first_token_s
    first = case.first_token_s if case.preamble else grounded
    return Times(first, grounded, grounded + case.takes(case.answer))


def _bridged(case: Case, asked: float) -> Times:
    """A bridge is spoken meanwhile."""
    grounded = asked + case.first_token_s
    bridge = min(case.turn_end + case.first_token_s, grounded)
    first = case.first_token_s if case.preamble else bridge
    return Times(first, grounded, grounded + case.takes(case.answer))


MODES: dict[str, Callable[[Case], Times]] = {
    "sequential": sequential,
    "sync parallel": parallel,
    "document 000, non-preemptive": document_non_preemptive,
    "document 000, preemptive, ideal": document_preemptive,
    "xwe sync": ours_sync,
    "xwe non-preemptive": ours_non_preemptive,
    "xwe non-preemptive, an agent's second turn": ours_learned,
    "xwe preemptive": ours_preemptive,
    "xwe preemptive, bridge at the first call": ours_preemptive_early,
    "xwe preemptive, any result": ours_any,
}
