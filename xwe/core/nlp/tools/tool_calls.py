"""The tool calls of a turn: checked, run at most once each, and given one outcome each."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.executor import offload
from xwe.core.nlp.completion import ToolCall, ToolCallDelta
from xwe.core.nlp.streamed_calls import new_call_id
from xwe.core.nlp.tool_arguments import TOO_DEEP
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.progress import Progress
from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.core.nlp.tools.timing_estimates import TimingEstimates
from xwe.core.nlp.tools.tool import AnyTool, result_text
from xwe.errors import ToolArgumentsError, XweError

EAGER_EFFECTS = frozenset({"read_only", "idempotent"})

# The model needs the cause of an error, not all of its text.
MAX_ERROR_CHARACTERS = 500

OutcomeKind = Literal["ok", "error", "timeout", "cancelled"]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended; `text` is what the model is told."""

    kind: OutcomeKind
    text: str

    @property
    def is_ok(self) -> bool:
        """Whether there is a result."""
        return self.kind == "ok"


def failed(kind: OutcomeKind, message: str) -> CallOutcome:
    """An outcome without a result."""
    return CallOutcome(kind, f"[{kind}] {message[:MAX_ERROR_CHARACTERS]}")


OnOutcome = Callable[[str, str, CallOutcome], object]
"""Called with a call's id, its tool's name and its outcome as soon as there is one."""


class TurnCall:
    """A call from its first piece to its outcome.

    Attributes:
        call_id: unique in the turn.
        name: of the tool, which need not exist.
        number: of the call in its turn, from 1.
        tool: None if there is no tool of that name.
        written: the call as the model wrote it; None until its arguments are whole and valid JSON.
        bound: the checked arguments; None unless the tool can be run.
        outcome: None until there is one.
        is_told: whether the model has been told the outcome.
        twin: an earlier, identical call, whose outcome this one shares.
        task: runs the tool.
        started_at: on the loop's clock; None until the tool has started.
    """

    __slots__ = (
        "bound",
        "call_id",
        "is_told",
        "name",
        "number",
        "outcome",
        "started_at",
        "task",
        "tool",
        "twin",
        "written",
    )

    def __init__(self, call_id: str, name: str, number: int, tool: AnyTool | None) -> None:
        self.call_id = call_id
        self.name = name
        self.number = number
        self.tool = tool
        self.written: ToolCall | None = None
        self.bound: Mapping[str, Any] | None = None
        self.outcome: CallOutcome | None = None
        self.is_told = False
        self.twin: TurnCall | None = None
        self.task: asyncio.Task[None] | None = None
        self.started_at: float | None = None

    @property
    def arguments(self) -> str:
        """JSON text that may be sent back; "{}" for none, and where the model's own is broken."""
        text = "" if self.written is None else self.written.arguments
        return text if text.strip() else "{}"

    @property
    def is_pending(self) -> bool:
        """Whether there is no outcome yet."""
        return self.outcome is None

    @property
    def is_silent(self) -> bool:
        """Whether the turn does not wait for it."""
        return self.tool is not None and self.tool.on_result == "silent"

    @property
    def is_news(self) -> bool:
        """Whether the model should be told the outcome now."""
        return self.outcome is not None and not self.is_told and not self.is_silent

    @property
    def interrupts(self) -> bool:
        """Whether its outcome may cut off what the model is saying."""
        return self.is_news and (self.tool is None or self.tool.on_result == "interrupt")


@dataclass(frozen=True, slots=True)
class CallSettled:
    """A tool has ended."""

    call: TurnCall
    outcome: CallOutcome


@dataclass(frozen=True, slots=True)
class ProgressMade:
    """A tool has reported progress."""

    call: TurnCall
    fraction: float | None
    message: str


class ToolCalls:
    """The calls of one turn, in the order in which the model began them; for its loop only.

    Args:
        tools: that may be called.
        policy: limits.
        pool: for synchronous tools.
        post: receives `CallSettled` and `ProgressMade`; called on the loop.
        now_s: seconds since the start of the turn.
        on_outcome: see `OnOutcome`.
        estimates: learns how long tools take.
    """

    def __init__(
        self,
        tools: ToolRegistry,
        policy: AgentPolicy,
        *,
        pool: Callable[[], ThreadPoolExecutor],
        post: Callable[[object], object],
        now_s: Callable[[], float],
        on_outcome: OnOutcome | None,
        estimates: TimingEstimates,
    ) -> None:
        self._tools = tools
        self._policy = policy
        self._pool = pool
        self._post = post
        self._now_s = now_s
        self._on_outcome = on_outcome
        self._estimates = estimates
        self._loop = asyncio.get_running_loop()
        self._by_id: dict[str, TurnCall] = {}
        self._by_content: dict[tuple[str, str], TurnCall] = {}

    def __iter__(self) -> Iterator[TurnCall]:
        return iter(self._by_id.values())

    @property
    def has_pending(self) -> bool:
        """Whether the turn waits for an outcome."""
        return any(call.is_pending and not call.is_silent for call in self)

    @property
    def has_silent(self) -> bool:
        """Whether any tool runs at all, including those that the turn does not wait for."""
        return any(call.is_pending for call in self)

    @property
    def fresh_results(self) -> list[TurnCall]:
        """The calls whose outcome the model should be told now."""
        return [call for call in self if call.is_news]

    def left_s(self, calls: Iterable[TurnCall]) -> float | None:
        """Seconds until all of these should have their results; None if unknown."""
        left_s = 0.0
        for call in calls:
            takes_s = self._estimates.tool_s(call.name)
            if call.is_pending and not call.is_silent:
                if takes_s is None or call.started_at is None:
                    return None
                left_s = max(left_s, call.started_at + takes_s - self._loop.time())
        return left_s

    def announce(self, piece: ToolCallDelta) -> TurnCall:
        """Register a call by its first piece.

        An id that the turn has seen before is replaced: a conversation may not hold it twice, and
        the call must not be taken for the earlier one.
        """
        call_id, name = piece.id, piece.name or ""
        if not call_id or call_id in self._by_id:
            call_id = new_call_id()
        number = len(self._by_id) + 1
        call = self._by_id[call_id] = TurnCall(call_id, name, number, self._tools.get(name))
        return call

    # --- from the closing brace to the outcome; each yields the events for the reader ---

    def close(self, call: TurnCall, written: ToolCall) -> Iterator[events.AgentEvent]:
        """The call has been written to its end; an eager tool starts now."""
        if written.value is None:
            yield from self.settle(call, failed("error", written.fault))
            return
        call.written = written
        ready = events.CallReady(
            call.call_id, call.name, call.arguments, self._now_s(), written.value
        )
        yield ready
        refusal = self._check(call, written)
        if refusal is not None:
            yield from self.settle(call, refusal)
        elif call.twin is not None:
            if call.twin.outcome is not None:
                yield from self.settle(call, call.twin.outcome)
        elif self._is_eager(call):
            yield from self.start(call)

    def _is_eager(self, call: TurnCall) -> bool:
        return (
            self._policy.start == "at_arguments"
            and call.tool is not None
            and call.tool.effect in EAGER_EFFECTS
        )

    def _check(self, call: TurnCall, written: ToolCall) -> CallOutcome | None:
        """Why the call cannot be made; None once its arguments are bound or its twin is found."""
        if call.tool is None:
            names = ", ".join(tool.name for tool in self._tools) or "none"
            return failed("error", f"There is no tool of this name. There are: {names}.")
        if call.number > self._policy.max_calls:
            return failed(
                "error", f"A turn may call {self._policy.max_calls} tools; use what there is."
            )
        try:
            call.bound = call.tool.bind(written)
            key = call.name, json.dumps(written.value, sort_keys=True)
        except ToolArgumentsError as error:
            return failed("error", error.message)
        except RecursionError:
            return failed("error", TOO_DEEP)
        earlier = self._by_content.setdefault(key, call)
        if earlier is not call:
            if earlier.outcome is None or earlier.outcome.is_ok:
                call.twin = earlier
            elif call.tool.effect == "side_effect":
                return failed("error", f"This was tried before, with: {earlier.outcome.text}")
            else:
                self._by_content[key] = call
        return None

    def start(self, call: TurnCall) -> Iterator[events.AgentEvent]:
        """Run the tool, unless it is running, has run or must not run."""
        if call.task is not None or call.outcome is not None or call.twin is not None:
            return
        call.started_at = self._loop.time()
        call.task = asyncio.create_task(self._run(call))
        yield events.CallStarted(call.call_id, call.name, self._now_s())

    async def _run(self, call: TurnCall) -> None:
        assert call.tool is not None and call.bound is not None  # noqa: S101, PT018 - see `_check`

        def on_progress(fraction: float | None, message: str) -> None:
            made = ProgressMade(call, fraction, message)
            self._loop.call_soon_threadsafe(self._post, made)

        outcome = failed("cancelled", "The turn ended before the tool did.")
        try:
            outcome = await run_tool(call.tool, call.bound, on_progress, self._pool())
        finally:
            # Also on cancellation, when nobody reads any more: what was done must be recorded.
            if self._on_outcome is not None:
                self._on_outcome(call.call_id, call.name, outcome)
        if outcome.is_ok and call.started_at is not None:
            self._estimates.note_tool(call.name, self._loop.time() - call.started_at)
        self._post(CallSettled(call, outcome))

    def settle(self, call: TurnCall, outcome: CallOutcome) -> Iterator[events.AgentEvent]:
        """Give the call its outcome, and the calls that share it."""
        if call.outcome is not None:
            return
        call.outcome = outcome
        kind = events.CallFinished if outcome.is_ok else events.CallFailed
        yield kind(call.call_id, call.name, outcome.text, self._now_s())
        for other in self:
            if other.twin is call:
                yield from self.settle(other, outcome)

    def give_up(self, kind: OutcomeKind, message: str) -> Iterator[events.AgentEvent]:
        """End every call that has no outcome yet."""
        for call in self:
            if call.outcome is None:
                if call.task is not None:
                    call.task.cancel()
                yield from self.settle(call, failed(kind, message))

    # --- the end ---

    def leave(self) -> tuple[list[asyncio.Task[None]], list[asyncio.Task[None]]]:
        """The tasks that still run: those that were cancelled now, and those that may go on."""
        cancelled, lingering = [], []
        for call in self:
            task = call.task
            if task is None or task.done():
                continue
            if call.tool is not None and call.tool.effect == "side_effect" and call.is_pending:
                lingering.append(task)
            else:
                task.cancel()
                cancelled.append(task)
        return cancelled, lingering


async def run_tool(
    tool: AnyTool,
    bound: Mapping[str, Any],
    on_progress: Callable[[float | None, str], object],
    pool: ThreadPoolExecutor,
) -> CallOutcome:
    """Run a tool to its end or its time limit; whatever it raises is its outcome."""
    arguments = dict(bound)
    if tool.progress_parameter is not None:
        arguments[tool.progress_parameter] = Progress(on_progress)
    limit = asyncio.timeout(tool.timeout_s)
    try:
        async with limit:
            if tool.is_async:
                value = await tool.function(**arguments)
            elif AsyncConfig.is_async_enabled():
                value = await offload(tool.function, executor=pool, **arguments)
            else:
                value = tool.function(**arguments)
        return CallOutcome("ok", result_text(value))
    except Exception as error:  # noqa: BLE001 - a tool is foreign code; its failure is its outcome
        if isinstance(error, TimeoutError) and limit.expired():
            return failed("timeout", _timeout_message(tool))
        reason = error.message if isinstance(error, XweError) else str(error)
        return failed("error", f"{type(error).__name__}: {reason}" if reason else repr(error))


def _timeout_message(tool: AnyTool) -> str:
    message = f"{tool.name} did not answer within {tool.timeout_s:g} s."
    if tool.effect == "side_effect":
        message += " What it does may have happened all the same."
    return message
