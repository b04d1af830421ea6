"""An agent: a client with tools, whose turns are streams of events.

::

    @tool(effect="read_only")
    async def weather(city: str) -> str: ...

    agent = Agent(client, [weather])
    for event in agent.run("北京今天天气怎么样？", mode="preemptive"):
        ...
"""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack, get_args

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor
from xwe.core.concurrency.iteration import iterate_in_sync
from xwe.core.nlp.completion import Message
from xwe.core.nlp.completion_stream import AsyncCompletionStream
from xwe.core.nlp.llm_client import Conversation, LLMClient
from xwe.core.nlp.tools.conversation import check_conversation
from xwe.core.nlp.tools.events import AgentEvent
from xwe.core.nlp.tools.policy import AgentPolicy, Awaiting, Mode
from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.core.nlp.tools.timing_estimates import TimingEstimates
from xwe.core.nlp.tools.tool import AnyTool
from xwe.core.nlp.tools.tool_calls import OnOutcome
from xwe.core.nlp.tools.turn import MayCall, TurnPlan, turn_events
from xwe.errors import InvalidRequestError

# Synchronous tools that may wait for a thread; the next one fails at once.
TOOL_QUEUE = 1000


class RequestOptions(TypedDict, total=False):
    """Options of a turn's requests to the model; see `CallOptions`."""

    temperature: float | None
    max_tokens: int | None
    model: str | None
    extra: Mapping[str, Any] | None
    timeout_s: float | None


class Agent:
    """Runs turns with tools; thread-safe.

    Args:
        client: for the model, on any transport. A bridge is a second request at the same time, so
            `requests`, with a thread for each request, suits few turns at once, "aiohttp" many.
        tools: functions, `Tool`s or a registry.
        policy: limits and choices for its turns.
        on_outcome: called with a call's id, its tool's name and its outcome as soon as there is
            one, also when nobody reads the turn any more.

    Attributes:
        tools: the registry; tools may be added to it.
        estimates: how long the tools and the model take, learned from the agent's turns.
    """

    def __init__(
        self,
        client: LLMClient,
        tools: Iterable[AnyTool | Callable[..., Any]] | ToolRegistry = (),
        *,
        policy: AgentPolicy | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> None:
        self.tools = tools if isinstance(tools, ToolRegistry) else ToolRegistry(tools)
        self._client = client
        self._policy = policy or AgentPolicy()
        self._on_outcome = on_outcome
        self.estimates = TimingEstimates()
        self._guard = threading.Lock()
        self._executor: BoundedThreadPoolExecutor | None = None
        self._lingering: set[asyncio.Task[None]] = set()

    def run_async(
        self,
        messages: Conversation,
        *,
        mode: Mode = "preemptive",
        awaiting: Awaiting = "all",
        only: Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncGenerator[AgentEvent, None]:
        """Run one turn: its events, until the model has answered with all results.

        Closing the generator ends the requests and the tools at once; a tool with side effects may
        go on for the policy's `leave_grace_s`.

        Args:
            messages: a user's message, or the conversation.
            mode: what happens while tools run.
            awaiting: whether the model gets the results together, or each one as it comes.
            only: names of the tools that may be called; None for all.
            **options: see `RequestOptions`.

        Raises:
            InvalidRequestError: an unknown mode or tool, or an invalid conversation.
            DeadlineExceededError: the turn took longer than the policy allows.
            XweError: the model could not be asked, or its reply broke off; the events before that
                are valid.
        """
        return turn_events(self._plan(messages, mode, awaiting, only, options))

    def run(
        self,
        messages: Conversation,
        *,
        mode: Mode = "preemptive",
        awaiting: Awaiting = "all",
        only: Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Generator[AgentEvent, None, None]:
        """The twin of `run_async`, for synchronous code."""
        return iterate_in_sync(
            self.run_async(messages, mode=mode, awaiting=awaiting, only=only, **options)
        )

    def _plan(
        self,
        messages: Conversation,
        mode: Mode,
        awaiting: Awaiting,
        only: Sequence[str] | None,
        options: RequestOptions,
    ) -> TurnPlan:
        _check_choice("mode", mode, Mode)
        _check_choice("await", awaiting, Awaiting)
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        check_conversation(messages)
        if not AsyncConfig.is_async_enabled():
            mode = "sync"  # a model call blocks this thread, so a bridge is impossible

        chosen = self.tools.select(only)
        # Here, in the caller's thread: the first schema takes a fifth of a second.
        offered = chosen.on_wire()

        def ask(
            messages: Sequence[Message], *, may_call: MayCall, max_tokens: int | None
        ) -> AsyncCompletionStream:
            asked: dict[str, Any] = {**options}
            if max_tokens is not None:
                asked["max_tokens"] = max_tokens
            if offered and may_call != "never":
                asked["tools"] = offered
                if may_call == "none":
                    asked["tool_choice"] = "none"
            return self._client.stream_async(messages, **asked)

        return TurnPlan(
            ask=ask,
            messages=messages,
            tools=chosen,
            mode=mode,
            awaiting=awaiting,
            policy=self._policy,
            pool=self._pool,
            estimates=self.estimates,
            linger=self._let_linger,
            on_outcome=self._on_outcome,
        )

    def _pool(self) -> BoundedThreadPoolExecutor:
        with self._guard:
            if self._executor is None:
                self._executor = BoundedThreadPoolExecutor(
                    self._policy.tool_threads, TOOL_QUEUE, thread_name_prefix="xwe-tool"
                )
            return self._executor

    def _let_linger(self, task: asyncio.Task[None], grace_s: float) -> None:
        """Let a tool go on after its turn, for `grace_s` seconds."""

        async def wait() -> None:
            await asyncio.wait({task}, timeout=grace_s)
            task.cancel()

        # Outside the turn's context, and referenced: the loop holds tasks only weakly.
        waiting = asyncio.create_task(wait(), context=contextvars.Context())
        self._lingering.add(waiting)
        waiting.add_done_callback(self._lingering.discard)

    def close(self) -> None:
        """Release the tools' threads; running tools go on to their end. Idempotent."""
        with self._guard:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)


def _check_choice(field: str, value: str, choices: Any) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise InvalidRequestError(
            f"{field} must be one of {', '.join(allowed)}, not {value!r:.40}.", field=field
        )
