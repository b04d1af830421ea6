"""When to ask the model for its answer, when to cut it off for that, how long a bridge may be."""

import re
from collections.abc import Collection

from xwe.core.nlp.tools.conversation import TurnHistory
from xwe.core.nlp.tools.inbox import Timers
from xwe.core.nlp.tools.policy import AgentPolicy, Awaiting, Mode
from xwe.core.nlp.tools.reply_reader import ReplyReader
from xwe.core.nlp.tools.timing_estimates import TimingEstimates
from xwe.core.nlp.tools.tool_calls import ToolCalls, TurnCall

# The cost of asking twice, until the model has shown how long it takes to begin an answer.
USUAL_FIRST_S = 0.3

# A few sentences: a bridge that will not be cut, for tools that take longer than expected.
LATE_BRIDGE = 80

# A full stop inside a number or a name ends no sentence: it takes space, or nothing, after it.
_END = re.compile(r"[。！？…!?\n]+[”’」』）)\"']*|\.(?=\s|$)")
_AT_END = re.compile(r"(?:[。！？…!?\n]+[”’」』）)\"']*|\.)\s*$")


def end_of_sentence(piece: str) -> int:
    """The length of the part of `piece` that completes a sentence; 0 if no sentence ends in it."""
    found = _END.search(piece)
    return found.end() if found else 0


def ends_sentence(text: str) -> bool:
    """Whether `text` stops at the end of a sentence; an empty text does."""
    return not text or _AT_END.search(text[-16:]) is not None


class Pacing:
    """Decides from the calls and the history; see `Agent.run_async` for mode and awaiting.

    Attributes:
        first_s: how long the model's last answer took to begin, in seconds.
        is_late: the tools take longer than in earlier turns.
    """

    def __init__(
        self,
        calls: ToolCalls,
        history: TurnHistory,
        timers: Timers,
        estimates: TimingEstimates,
        *,
        mode: Mode,
        awaiting: Awaiting,
        policy: AgentPolicy,
    ) -> None:
        self._calls = calls
        self._history = history
        self._timers = timers
        self._estimates = estimates
        self._mode = mode
        self._awaiting = awaiting
        self._policy = policy
        self._is_coalescing = self._is_coalesced = False
        self.first_s = USUAL_FIRST_S
        self.is_late = False

    # --- the answer ---

    def is_ready(self) -> bool:
        """Whether there is something to answer that the model does not know yet."""
        pending = self._calls.has_pending
        if self._awaiting == "all" or not pending:
            exchange = self._history.last
            is_untold = exchange is not None and not exchange.is_told
            return not pending and (is_untold or bool(self._calls.fresh_results))
        return self._is_coalesced and bool(self._calls.fresh_results)

    def interrupts(self) -> bool:
        """Whether what the model is saying should be cut off for that."""
        return (
            self._mode == "preemptive"
            and any(call.interrupts for call in self._calls.fresh_results)
            and self.is_ready()
        )

    def coalesce(self) -> None:
        """With "any": let the first result wait a moment for others; asking twice costs more."""
        if self._awaiting == "any" and self._calls.fresh_results and not self._is_coalescing:
            self._is_coalescing = True
            window_s = self._policy.coalesce_s
            self._timers.start(self.first_s if window_s is None else window_s, "coalesced")

    def coalesced(self) -> None:
        """The moment is over."""
        self._is_coalesced = True

    def asked(self) -> None:
        """The model is being asked with everything that is known."""
        self._is_coalescing = self._is_coalesced = False

    # --- cutting off ---

    def may_cut(self, reader: ReplyReader) -> bool:
        """Whether the reply may be cut here; if not, it gets time to finish its sentence."""
        grace_ms = self._policy.sentence_grace_ms
        if not grace_ms or reader.grace_is_over or ends_sentence(reader.text):
            return True
        if not reader.is_leaving:
            reader.is_leaving = True
            self._timers.start(grace_ms / 1000, "grace", reader)
        return False

    # --- the bridge ---

    def may_bridge_early(self, answer: ReplyReader, calls: Collection[TurnCall]) -> bool:
        """Whether a bridge may begin while `answer` is still writing `calls`."""
        return (
            self._policy.bridge_start == "at_first_call"
            and self._mode != "sync"
            and not answer.shown
            and any(call.task is not None and call.is_pending for call in calls)
        )

    def bridge_tokens(self, calls: Collection[TurnCall]) -> int:
        """How long a bridge may be until `calls` have their results, in tokens.

        0 where there is no time for one; a timer then fires if the results are late.
        """
        left_s = self._calls.left_s(calls)
        tokens = self._tokens_within(left_s)
        exchange = self._history.last
        if tokens or exchange is None:
            return tokens or self._policy.bridge_max_tokens
        exchange.is_bridged = True
        # Later than the results are expected: at that moment they would cut it off at once.
        self._timers.start((left_s or 0.0) + self.first_s, "late")
        return 0

    def _tokens_within(self, left_s: float | None) -> int:
        most = self._policy.bridge_max_tokens
        is_cut_short = self._mode == "preemptive"
        if self._policy.bridge_length == "fixed" or left_s is None:
            return most
        if self.is_late:
            return most if is_cut_short else min(most, LATE_BRIDGE)
        tokens = self._estimates.bridge_tokens(left_s)
        if tokens is None or (tokens and is_cut_short):
            return most
        return min(most, tokens)
