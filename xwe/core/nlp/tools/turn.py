"""One turn with tools: asks the model, runs its calls, fills the wait, and cuts off what is late.

Everything that happens arrives in one inbox, in order: pieces of the model's replies, outcomes of
tools, timers. Each item is handled by a function that changes the turn's state and yields events
for the reader; the turn waits for nothing but the inbox. So no result is missed because something
else is being awaited, and text counts as shown exactly when the reader took it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

from xwe.core.nlp.completion import Completion, Delta, Message, ToolCallDelta
from xwe.core.nlp.completion_stream import AsyncCompletionStream
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.conversation import TurnHistory
from xwe.core.nlp.tools.inbox import Inbox, TimerFired, Timers
from xwe.core.nlp.tools.pacing import Pacing, end_of_sentence
from xwe.core.nlp.tools.policy import AgentPolicy, Awaiting, Mode
from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.core.nlp.tools.reply_reader import ReplyPiece, ReplyReader
from xwe.core.nlp.tools.timing_estimates import TimingEstimates
from xwe.core.nlp.tools.tool_calls import (
    CallSettled,
    OnOutcome,
    ProgressMade,
    ToolCalls,
    TurnCall,
    failed,
)
from xwe.core.nlp.tools.turn_output import TextParts, TurnTotals
from xwe.errors import DeadlineExceededError

log = logging.getLogger(__name__)

# With these the model has not finished its answer, so that its calls cannot be trusted.
CUT_OFF_REASONS = frozenset({"length", "content_filter"})

MayCall = Literal["auto", "none", "never"]

Events = Iterator[events.AgentEvent]


class Ask(Protocol):
    """Makes a request to the model."""

    def __call__(
        self,
        messages: Sequence[Message],
        *,
        may_call: MayCall,
        max_tokens: int | None,
    ) -> AsyncCompletionStream:
        """The reply, which is not requested before it is read.

        `may_call` is the wire's `tool_choice`, or "never" where no tools are offered.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPlan:
    """What a turn needs; see `Agent.run_async`."""

    ask: Ask
    messages: Sequence[Message]
    tools: ToolRegistry
    mode: Mode
    awaiting: Awaiting
    policy: AgentPolicy
    pool: Callable[[], ThreadPoolExecutor]
    estimates: TimingEstimates
    linger: Callable[[asyncio.Task[None], float], object]
    on_outcome: OnOutcome | None = None


async def turn_events(plan: TurnPlan) -> AsyncGenerator[events.AgentEvent, None]:
    """The events of a turn, until it is over.

    Raises:
        DeadlineExceededError: the turn took too long.
        XweError: the model could not be asked, or its reply broke off.
    """
    turn = ToolTurn(plan)
    take, handle = turn.inbox.take, turn.handle
    try:
        for event in turn.begin():
            yield event
        while not turn.is_over:
            for event in handle(await take()):
                yield event
    finally:
        await turn.leave()


class ToolTurn:
    """The state of a turn; for one loop.

    Attributes:
        inbox: of the items that `handle` takes.
        is_over: there will be no more events.
    """

    def __init__(self, plan: TurnPlan) -> None:
        self._plan = plan
        self._policy = plan.policy
        self.inbox = Inbox()
        self._totals = TurnTotals()
        self._now_s = self._totals.now_s
        self._calls = ToolCalls(
            plan.tools,
            plan.policy,
            pool=plan.pool,
            post=self.inbox.post,
            now_s=self._now_s,
            on_outcome=plan.on_outcome,
            estimates=plan.estimates,
        )
        self._parts = TextParts()
        self._history = TurnHistory(plan.messages)
        self._timers = Timers(self.inbox.post)
        self._pacing = Pacing(
            self._calls,
            self._history,
            self._timers,
            plan.estimates,
            mode=plan.mode,
            awaiting=plan.awaiting,
            policy=plan.policy,
        )
        # The calls of the answer that is being written, by their index in it.
        self._writing: dict[int | None, TurnCall] = {}
        self._answer: ReplyReader | None = None
        self._bridge: ReplyReader | None = None
        self._is_early = False  # the bridge began while the answer was still being written
        self._readers: list[asyncio.Task[None]] = []
        self._rounds = 0
        self.is_over = False

    def begin(self) -> Events:
        """Ask the model."""
        self._timers.start(self._policy.turn_timeout_s, "deadline")
        yield from self._begin_answer()

    # --- what arrives ---

    def handle(self, item: object) -> Iterable[events.AgentEvent]:
        """Handle an item from the inbox; the events of it and of what follows from it."""
        current = self._bridge or self._answer
        if isinstance(item, ReplyPiece) and (text := self._parts.text_to_add(item, current)):
            reader = item.reader
            reader.pieces += 1
            reader.shown.append(text)
            return (self._parts.more(text),)
        return self._handle(item)

    def _handle(self, item: object) -> Events:
        if isinstance(item, ReplyPiece):
            reader, delta = item.reader, item.delta
            if reader is not self._answer and reader is not self._bridge:
                self._totals.wasted += delta is not None and bool(delta.text)
                return
            if delta is None:
                yield from self._ended(reader, item.error)
            else:
                yield from self._grew(reader, delta)
                if not (reader.is_leaving or delta.tool_calls):
                    return  # a piece of text changes nothing else
        elif isinstance(item, CallSettled):
            yield from self._calls.settle(item.call, item.outcome)
            self._pacing.coalesce()
        elif isinstance(item, ProgressMade):
            if item.call.is_pending:
                yield events.CallProgress(item.call.call_id, item.fraction, item.message)
            return
        elif isinstance(item, TimerFired):
            yield from self._timer_fired(item)
        yield from self._advance()

    def _timer_fired(self, timer: TimerFired) -> Events:
        if timer.kind == "deadline":
            limit_s = self._policy.turn_timeout_s
            yield from self._parts.end()
            yield from self._calls.give_up("timeout", f"The turn's {limit_s:g} s are over.")
            raise DeadlineExceededError(f"The turn took longer than {limit_s:g} s.")
        if timer.kind == "coalesced":
            self._pacing.coalesced()
        elif timer.kind == "late" and (exchange := self._history.last) is not None:
            self._pacing.is_late, exchange.is_bridged = True, exchange.is_told
        elif timer.reader is not None:
            timer.reader.grace_is_over = True

    def _grew(self, reader: ReplyReader, delta: Delta) -> Events:
        if reader.first_at is None:
            reader.begin(delta)
            if reader.kind == "answer" and reader.first_s is not None:
                self._pacing.first_s = reader.first_s
        if delta.extra:
            reasoning = delta.extra.get("reasoning_content")
            if isinstance(reasoning, str) and reasoning:
                yield from self._parts.piece(reader, "reasoning", reasoning)
        if delta.text:
            yield from self._text_grew(reader, delta.text)
        if delta.tool_calls and reader.kind == "answer":
            for piece in delta.tool_calls:
                yield from self._call_grew(piece)

    def _text_grew(self, reader: ReplyReader, text: str) -> Events:
        reader.pieces += 1
        if reader.is_leaving and (end := end_of_sentence(text)):
            text = text[:end]
            reader.grace_is_over = True
        if reader.kind == "answer" and self._bridge is not None:
            yield from self._cut(self._bridge)  # it began early, to fill a silence that is over
        self._totals.note_text(is_grounded=reader.is_grounded)
        reader.shown.append(text)
        yield from self._parts.piece(reader, "text", text)

    def _call_grew(self, piece: ToolCallDelta) -> Events:
        call = self._writing.get(piece.index)
        if call is None:
            call = self._writing[piece.index] = self._calls.announce(piece)
            yield events.CallAnnounced(call.call_id, call.name)
        if piece.arguments:
            yield events.CallArguments(call.call_id, piece.arguments)
        if piece.call is not None:
            yield from self._calls.close(call, piece.call)

    # --- the end of a reply ---

    def _ended(self, reader: ReplyReader, error: Exception | None) -> Events:
        reader.teach(self._plan.estimates)
        if reader.kind == "bridge":
            self._bridge = None
            if error is not None:  # it only passed the time: the turn goes on without it
                log.info("a bridge ended early: %s", error)
            yield from self._parts.end(reader)
            yield events.StepEnded("bridge", self._now_s())
            self._note_shown(reader)
            return
        completion = reader.completion
        self._answer = None
        self._totals.count(completion.usage)
        if error is not None:
            yield from self._parts.end()
            yield from self._calls.give_up("cancelled", "The model broke off.")
            raise error
        self._totals.finish_reason = completion.finish_reason
        if completion.finish_reason in CUT_OFF_REASONS:
            yield from self._cut_off()
            return
        yield from self._close_calls(completion)
        yield from self._parts.end(reader)
        calls, self._writing = list(self._writing.values()), {}
        if not calls:
            self._note_shown(reader)
        elif self._rounds >= self._policy.max_rounds:
            self._totals.finish_reason = "max_rounds"
            yield from self._calls.give_up("cancelled", "The turn has no more rounds.")
            self.is_over = True
        else:
            self._history.add(completion.message, calls).is_bridged = self._is_early
            for call in calls:
                yield from self._calls.start(call)
        yield events.StepEnded("answer", self._now_s())
        if self.is_over:
            yield self._totals.ended()

    def _close_calls(self, completion: Completion) -> Events:
        """Close the calls that only the end of the answer ends: those without arguments."""
        for index, written in enumerate(completion.tool_calls):
            call = self._writing.get(index)
            if call is not None and call.written is None and call.is_pending:
                yield from self._calls.close(call, written)

    def _cut_off(self) -> Events:
        """The answer ended before the model had finished: nothing more is run."""
        for call in self._writing.values():
            if call.written is None:
                broken = failed("error", "The call was broken off before its end.")
                yield from self._calls.settle(call, broken)
        yield from self._parts.end()
        reason = f"The model was cut off ({self._totals.finish_reason})."
        yield from self._calls.give_up("cancelled", reason)
        yield events.StepEnded("answer", self._now_s())
        self.is_over = True
        yield self._totals.ended()

    def _note_shown(self, reader: ReplyReader) -> None:
        if reader.kind == "bridge" and self._answer is not None:
            self._history.show_early(reader.text)
        else:
            self._history.show(reader.text)

    # --- what is next ---

    def _advance(self) -> Events:
        if self.is_over:
            return
        answer, bridge, pacing = self._answer, self._bridge, self._pacing
        if answer is not None:
            calls = self._writing.values()
            if not calls and pacing.interrupts() and pacing.may_cut(answer):
                yield from self._interrupt(answer)
                yield from self._begin_answer()
            elif bridge is None and not self._is_early and pacing.may_bridge_early(answer, calls):
                yield from self._begin_bridge(list(calls))
        elif not pacing.is_ready():
            yield from self._wait()
        elif bridge is None:
            yield from self._begin_answer()
        elif pacing.interrupts() and pacing.may_cut(bridge):
            yield from self._interrupt(bridge)
            yield from self._begin_answer()

    def _wait(self) -> Events:
        """The model knows everything there is: pass the time with a bridge, or end the turn."""
        exchange = self._history.last
        if self._calls.has_pending:
            if self._plan.mode != "sync" and exchange is not None and not exchange.is_bridged:
                yield from self._begin_bridge(exchange.calls)
        elif not self._calls.has_silent:
            self.is_over = True
            yield self._totals.ended()

    def _begin_answer(self) -> Events:
        self._rounds += 1
        for call in self._calls:
            call.is_told = call.outcome is not None
        self._pacing.asked()
        messages = self._history.for_answer()
        self._is_early = False
        is_last = self._rounds >= self._policy.max_rounds
        may_call: MayCall = "none" if is_last else "auto"
        stream = self._plan.ask(messages, may_call=may_call, max_tokens=None)
        is_grounded = any(call.is_told for call in self._calls)
        self._answer = self._read("answer", stream, is_grounded=is_grounded)
        yield events.StepBegan("answer", self._now_s())

    def _begin_bridge(self, calls: Sequence[TurnCall]) -> Events:
        tokens = self._pacing.bridge_tokens(calls)
        if not tokens:
            return
        self._is_early = self._answer is not None
        messages = self._history.for_bridge(calls)
        stream = self._plan.ask(messages, may_call="never", max_tokens=tokens)
        self._bridge = self._read("bridge", stream, is_grounded=False)
        yield events.StepBegan("bridge", self._now_s())

    def _read(
        self, kind: events.StepKind, stream: AsyncCompletionStream, *, is_grounded: bool
    ) -> ReplyReader:
        reader = ReplyReader(kind, stream, self.inbox.post, is_grounded=is_grounded)
        self._readers.append(reader.task)
        return reader

    # --- cutting off ---

    def _interrupt(self, reader: ReplyReader) -> Events:
        text_id = self._parts.id_of(reader)
        yield from self._cut(reader)
        yield events.Interrupted(
            text_id,
            "tool_results",
            tuple(call.call_id for call in self._calls.fresh_results),
            len(reader.text),
            max(0, self._policy.bridge_max_tokens - reader.pieces),
            self._now_s(),
        )

    def _cut(self, reader: ReplyReader) -> Events:
        reader.cut()
        if reader is self._bridge:
            self._bridge = None
        else:
            self._answer = None
        yield from self._parts.end(reader)
        yield events.StepEnded(reader.kind, self._now_s())
        self._note_shown(reader)

    # --- the end ---

    async def leave(self) -> None:
        """End everything that still runs, except tools with side effects, which get their grace."""
        self._timers.cancel()
        for task in self._readers:
            task.cancel()
        cancelled, lingering = self._calls.leave()
        for task in lingering:
            self._plan.linger(task, self._policy.leave_grace_s)
        await asyncio.gather(*self._readers, *cancelled, return_exceptions=True)
