"""Whether the model should be asked for its answer now, and whether it may be cut off for that."""

from xwe.core.nlp.tools.alarms import Alarms
from xwe.core.nlp.tools.history import History
from xwe.core.nlp.tools.ledger import Ledger
from xwe.core.nlp.tools.policy import AgentPolicy, Awaiting, Mode

# What is lost by asking twice, until the model has shown how long it takes to begin.
USUAL_FIRST_S = 0.3


class Readiness:
    """Looks at the calls and the history; `turn_plan` has what the arguments are.

    Attributes:
        first_s: how long the model's last answer took to begin, in seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        history: History,
        alarms: Alarms,
        *,
        mode: Mode,
        awaiting: Awaiting,
        policy: AgentPolicy,
    ) -> None:
        self._ledger = ledger
        self._history = history
        self._alarms = alarms
        self._mode = mode
        self._awaiting = awaiting
        self._policy = policy
        self._is_coalescing = self._is_coalesced = False
        self.first_s = USUAL_FIRST_S

    def is_ready(self) -> bool:
        """Whether there is something to answer that the model does not know yet."""
        pending = self._ledger.has_pending
        if self._awaiting == "all" or not pending:
            exchange = self._history.last
            is_untold = exchange is not None and not exchange.is_told
            return not pending and (is_untold or bool(self._ledger.news))
        return self._is_coalesced and bool(self._ledger.news)

    def interrupts(self) -> bool:
        """Whether what is being said should be cut off for it."""
        return (
            self._mode == "preemptive"
            and any(call.interrupts for call in self._ledger.news)
            and self.is_ready()
        )

    def coalesce(self) -> None:
        """With "any": the first result waits a moment for others, since asking twice costs more."""
        if self._awaiting == "any" and self._ledger.news and not self._is_coalescing:
            self._is_coalescing = True
            window_s = self._policy.coalesce_s
            self._alarms.ring(self.first_s if window_s is None else window_s, "coalesced")

    def coalesced(self) -> None:
        """The moment is over."""
        self._is_coalesced = True

    def asked(self) -> None:
        """The model is being asked with all that is known."""
        self._is_coalescing = self._is_coalesced = False
