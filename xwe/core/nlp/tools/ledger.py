"""All calls of a turn: checked, started at most once each, and settled with one outcome each."""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import orjson

from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.call import Call, Outcome, OutcomeKind, failed, run_tool
from xwe.core.nlp.tools.learned import Learned
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.errors import ToolArgumentsError

EAGER_EFFECTS = frozenset({"read_only", "idempotent"})

OnOutcome = Callable[[str, str, Outcome], object]
"""Told of a call's id, its tool's name and its outcome, in the moment in which it is there."""


@dataclass(frozen=True, slots=True)
class CallSettled:
    """A tool has come to its end."""

    call: Call
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ProgressMade:
    """A tool says how far it is."""

    call: Call
    fraction: float | None
    message: str


class Ledger:
    """The calls of one turn, in the order in which the model began them; for its loop only.

    Args:
        tools: that may be called.
        policy: bounds.
        pool: for synchronous tools.
        post: takes what the tools' tasks tell; called on the loop.
        now_s: seconds since the turn's beginning.
        on_outcome: see `OnOutcome`.
        learned: how long tools take.
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
        learned: Learned,
    ) -> None:
        self._tools = tools
        self._policy = policy
        self._pool = pool
        self._post = post
        self._now_s = now_s
        self._on_outcome = on_outcome
        self._learned = learned
        self._loop = asyncio.get_running_loop()
        self._by_id: dict[str, Call] = {}
        self._by_content: dict[tuple[str, bytes], Call] = {}

    def __iter__(self) -> Iterator[Call]:
        return iter(self._by_id.values())

    @property
    def has_pending(self) -> bool:
        """Whether somebody waits for an outcome."""
        return any(call.is_pending and not call.is_silent for call in self)

    @property
    def has_silent(self) -> bool:
        """Whether a tool runs that nobody waits for."""
        return any(call.is_pending for call in self)

    @property
    def news(self) -> list[Call]:
        """The calls whose outcome the model should be told now."""
        return [call for call in self if call.is_news]

    def left_s(self, calls: Iterable[Call]) -> float | None:
        """When the results of these should all be there, in seconds from now; None if unknown."""
        left_s = 0.0
        for call in calls:
            takes_s = self._learned.tool_s(call.name)
            if call.is_pending and not call.is_silent:
                if takes_s is None or call.started_at is None:
                    return None
                left_s = max(left_s, call.started_at + takes_s - self._loop.time())
        return left_s

    def announce(self, call_id: str, name: str) -> Call:
        """The model has begun to write a call.

        Its id is a new one where the model uses one for the second time in a turn: a conversation
        may not have it twice, and what runs at most once for each id must not be skipped for it.
        """
        if call_id in self._by_id:
            call_id = f"call_{secrets.token_hex(8)}"
        number = len(self._by_id) + 1
        call = self._by_id[call_id] = Call(call_id, name, number, self._tools.get(name))
        return call

    # --- from the closing brace to the outcome; each yields what a reader should hear ---

    def close(self, call: Call, arguments: str) -> Iterator[events.AgentEvent]:
        """Its arguments are whole; an eager tool starts now."""
        call.arguments = arguments
        yield events.CallReady(call.call_id, call.name, arguments, self._now_s())
        refusal = self._check(call)
        if refusal is not None:
            yield from self.settle(call, refusal)
        elif call.twin is not None:
            if call.twin.outcome is not None:
                yield from self.settle(call, call.twin.outcome)
        elif self._is_eager(call):
            yield from self.start(call)

    def _is_eager(self, call: Call) -> bool:
        return (
            self._policy.start == "at_arguments"
            and call.tool is not None
            and call.tool.effect in EAGER_EFFECTS
        )

    def _check(self, call: Call) -> Outcome | None:
        """Why the call cannot be made, if so; else its arguments are bound or its twin is found."""
        if call.tool is None:
            there = ", ".join(tool.name for tool in self._tools) or "none"
            return failed("error", f"There is no tool of this name. There are: {there}.")
        if call.number > self._policy.max_calls:
            return failed(
                "error", f"A turn may call {self._policy.max_calls} tools; use what there is."
            )
        try:
            call.bound = call.tool.bind(call.arguments)
        except ToolArgumentsError as error:
            return failed("error", error.message)
        content = orjson.dumps(orjson.loads(call.arguments or "{}"), option=orjson.OPT_SORT_KEYS)
        key = call.name, content
        earlier = self._by_content.setdefault(key, call)
        if earlier is not call:
            if earlier.outcome is None or earlier.outcome.is_ok:
                call.twin = earlier
            elif call.tool.effect == "side_effect":
                return failed("error", f"This was tried before, with: {earlier.outcome.text}")
            else:
                self._by_content[key] = call
        return None

    def start(self, call: Call) -> Iterator[events.AgentEvent]:
        """Run the tool, unless it runs, has run or must not."""
        if call.task is not None or call.outcome is not None or call.twin is not None:
            return
        call.started_at = self._loop.time()
        call.task = asyncio.create_task(self._run(call))
        yield events.CallStarted(call.call_id, call.name, self._now_s())

    async def _run(self, call: Call) -> None:
        assert call.tool is not None and call.bound is not None  # noqa: S101, PT018 - `_check` has seen to it

        def on_progress(fraction: float | None, message: str) -> None:
            made = ProgressMade(call, fraction, message)
            self._loop.call_soon_threadsafe(self._post, made)

        outcome = failed("cancelled", "The turn ended before the tool did.")
        try:
            outcome = await run_tool(call.tool, call.bound, on_progress, self._pool())
        finally:
            # Also when it is cancelled, and nobody reads any more: what was done was done.
            if self._on_outcome is not None:
                self._on_outcome(call.call_id, call.name, outcome)
        if outcome.is_ok and call.started_at is not None:
            self._learned.note_tool(call.name, self._loop.time() - call.started_at)
        self._post(CallSettled(call, outcome))

    def settle(self, call: Call, outcome: Outcome) -> Iterator[events.AgentEvent]:
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
