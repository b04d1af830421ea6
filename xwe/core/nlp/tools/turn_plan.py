"""What a turn with tools is made of."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

from xwe.core.nlp.completion import Message
from xwe.core.nlp.completion_stream import AsyncCompletionStream
from xwe.core.nlp.tools.learned import Learned
from xwe.core.nlp.tools.ledger import OnOutcome
from xwe.core.nlp.tools.policy import AgentPolicy, Awaiting, Mode
from xwe.core.nlp.tools.registry import ToolRegistry

MayCall = Literal["auto", "none", "never"]


class Ask(Protocol):
    """Sends a request to the model."""

    def __call__(
        self,
        messages: Sequence[Message],
        *,
        may_call: MayCall,
        max_tokens: int | None,
    ) -> AsyncCompletionStream:
        """The reply, which is not begun before it is read.

        `may_call` is the wire's `tool_choice`, or "never" where tools are not even offered.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPlan:
    """What a turn is made of; see `Agent.run_async`."""

    ask: Ask
    messages: Sequence[Message]
    tools: ToolRegistry
    mode: Mode
    awaiting: Awaiting
    policy: AgentPolicy
    pool: Callable[[], ThreadPoolExecutor]
    learned: Learned
    linger: Callable[[asyncio.Task[None], float], object]
    on_outcome: OnOutcome | None = None
