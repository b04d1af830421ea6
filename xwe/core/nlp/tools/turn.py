"""One turn with tools: what the model says, what runs meanwhile, and who is cut off when.

Everything that happens arrives in one inbox, in order: pieces of the model's replies, outcomes of
tools, timers. Each is taken by a function that changes the turn's state and yields what a reader
should hear; nothing in here waits but the inbox. So there is no moment in which a result is
overlooked because something else is being awaited, and text counts as shown exactly when the
reader took it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

from xwe.core.nlp.completion import Delta
from xwe.core.nlp.completion_stream import AsyncCompletionStream
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.alarms import Alarm, Alarms
from xwe.core.nlp.tools.call import Call, failed
from xwe.core.nlp.tools.call_tracker import ArgumentsGrew, CallBegan, CallBroken, CallClosed
from xwe.core.nlp.tools.call_tracker import CallEvent as Tracked
from xwe.core.nlp.tools.history import History
from xwe.core.nlp.tools.inbox import Inbox
from xwe.core.nlp.tools.ledger import CallSettled, Ledger, ProgressMade
from xwe.core.nlp.tools.readiness import Readiness
from xwe.core.nlp.tools.sentence import end_of_sentence, ends_sentence
from xwe.core.nlp.tools.speaker import Speaker, Spoken
from xwe.core.nlp.tools.text_parts import TextParts
from xwe.core.nlp.tools.turn_account import TurnAccount
from xwe.core.nlp.tools.turn_plan import TurnPlan
from xwe.errors import DeadlineExceededError

log = logging.getLogger(__name__)

# After these the model has not said all that it wanted: what it asked for is not to be trusted.
CUT_OFF_REASONS = frozenset({"length", "content_filter"})

# A bridge for tools that take longer than expected, where it will be heard out: a few sentences.
LATE_BRIDGE = 80

Happening = Iterator[events.AgentEvent]


async def turn_events(plan: TurnPlan) -> AsyncGenerator[events.AgentEvent, None]:
    """Everything that happens in a turn, until it is over.

    Raises:
        DeadlineExceededError: the turn took too long.
        XweError: the model could not be asked, or broke off.
    """
    turn = Turn(plan)
    take, handle = turn.inbox.take, turn.handle
    try:
        for event in turn.begin():
            yield event
        while not turn.is_over:
            for event in handle(await take()):
                yield event
    finally:
        await turn.leave()


class Turn:
    """The state of a turn; for one loop.

    Attributes:
        inbox: of everything that `handle` takes.
        is_over: there will be no more events.
    """

    def __init__(self, plan: TurnPlan) -> None:
        self._plan = plan
        self._policy = plan.policy
        self._loop = asyncio.get_running_loop()
        self.inbox = Inbox()
        self._account = TurnAccount()
        self._now_s = self._account.now_s
        self._ledger = Ledger(
            plan.tools,
            plan.policy,
            pool=plan.pool,
            post=self.inbox.post,
            now_s=self._now_s,
            on_outcome=plan.on_outcome,
            learned=plan.learned,
        )
        self._parts = TextParts()
        self._history = History(plan.messages)
        self._alarms = Alarms(self.inbox.post)
        self._readiness = Readiness(
            self._ledger,
            self._history,
            self._alarms,
            mode=plan.mode,
            awaiting=plan.awaiting,
            policy=plan.policy,
        )
        # Of the answer that is being spoken, by the ids that it gave them.
        self._calls: dict[str, Call] = {}
        self._answer: Speaker | None = None
        self._bridge: Speaker | None = None
        self._is_early = False  # the bridge began while the answer was still being spoken
        self._speakers: list[asyncio.Task[None]] = []
        self._rounds = 0
        self._is_late = False  # the tools take longer than they used to
        self.is_over = False

    def begin(self) -> Happening:
        """Ask the model."""
        self._alarms.ring(self._policy.turn_timeout_s, "deadline")
        yield from self._begin_answer()

    # --- what arrives ---

    def handle(self, item: object) -> Iterable[events.AgentEvent]:
        """Take what has arrived; what a reader should hear of it, and of what follows from it."""
        heard = self._bridge or self._answer
        if isinstance(item, Spoken) and (text := self._parts.text_to_add(item, heard)):
            speaker = item.speaker
            speaker.pieces += 1
            speaker.shown.append(text)
            return (self._parts.more(text),)
        return self._handle(item)

    def _handle(self, item: object) -> Happening:
        if isinstance(item, Spoken):
            speaker, delta = item.speaker, item.delta
            if speaker is not self._answer and speaker is not self._bridge:
                self._account.wasted += delta is not None and bool(delta.text)
                return
            if delta is None:
                yield from self._ended(speaker, item.error)
            else:
                yield from self._spoke(speaker, delta)
                if not (speaker.is_leaving or delta.tool_calls):
                    return  # a piece of text decides nothing
        elif isinstance(item, CallSettled):
            yield from self._ledger.settle(item.call, item.outcome)
            self._readiness.coalesce()
        elif isinstance(item, ProgressMade):
            if item.call.is_pending:
                yield events.CallProgress(item.call.call_id, item.fraction, item.message)
            return
        elif isinstance(item, Alarm):
            yield from self._alarmed(item)
        yield from self._advance()

    def _alarmed(self, alarm: Alarm) -> Happening:
        if alarm.kind == "deadline":
            limit_s = self._policy.turn_timeout_s
            yield from self._parts.end()
            yield from self._ledger.give_up("timeout", f"The turn's {limit_s:g} s are over.")
            raise DeadlineExceededError(f"The turn took longer than {limit_s:g} s.")
        if alarm.kind == "coalesced":
            self._readiness.coalesced()
        elif alarm.kind == "late" and (exchange := self._history.last) is not None:
            self._is_late, exchange.is_bridged = True, exchange.is_told
        elif alarm.speaker is not None:
            alarm.speaker.grace_is_over = True

    def _spoke(self, speaker: Speaker, delta: Delta) -> Happening:
        if speaker.first_at is None:
            speaker.begin(delta)
            if speaker.kind == "answer" and speaker.first_s is not None:
                self._readiness.first_s = speaker.first_s
        if delta.extra:
            reasoning = delta.extra.get("reasoning_content")
            if isinstance(reasoning, str) and reasoning:
                yield from self._parts.piece(speaker, "reasoning", reasoning)
        if delta.text:
            yield from self._said(speaker, delta.text)
        if delta.tool_calls and speaker.kind == "answer":
            for piece in delta.tool_calls:
                for tracked in speaker.tracker.add(piece):
                    yield from self._tracked(tracked)

    def _said(self, speaker: Speaker, text: str) -> Happening:
        speaker.pieces += 1
        if speaker.is_leaving and (end := end_of_sentence(text)):
            text = text[:end]
            speaker.grace_is_over = True
        if speaker.kind == "answer" and self._bridge is not None:
            yield from self._cut(self._bridge)  # it spoke up early, for a silence that has ended
        self._account.note_text(is_grounded=speaker.is_grounded)
        speaker.shown.append(text)
        yield from self._parts.piece(speaker, "text", text)

    def _tracked(self, tracked: Tracked) -> Happening:
        if isinstance(tracked, CallBegan):
            call = self._calls[tracked.id] = self._ledger.announce(tracked.id, tracked.name)
            yield events.CallAnnounced(call.call_id, call.name)
        elif isinstance(tracked, ArgumentsGrew):
            yield events.CallArguments(self._calls[tracked.id].call_id, tracked.piece)
        elif isinstance(tracked, CallClosed):
            yield from self._ledger.close(self._calls[tracked.id], tracked.arguments)
        elif isinstance(tracked, CallBroken):
            refusal = failed("error", tracked.reason)
            yield from self._ledger.settle(self._calls[tracked.id], refusal)

    # --- the end of a reply ---

    def _ended(self, speaker: Speaker, error: Exception | None) -> Happening:
        speaker.teach(self._plan.learned)
        if speaker.kind == "bridge":
            self._bridge = None
            if error is not None:  # it only passed the time: the turn goes on without it
                log.info("a bridge ended early: %s", error)
            yield from self._parts.end(speaker)
            yield events.StepEnded("bridge", self._now_s())
            self._note_shown(speaker)
            return
        completion = speaker.completion
        self._answer = None
        self._account.count(completion.usage)
        if error is not None:
            yield from self._parts.end()
            yield from self._ledger.give_up("cancelled", "The model broke off.")
            raise error
        self._account.finish_reason = completion.finish_reason
        if completion.finish_reason in CUT_OFF_REASONS:
            yield from self._cut_off(speaker)
            return
        for tracked in speaker.tracker.finish():
            yield from self._tracked(tracked)
        yield from self._parts.end(speaker)
        calls, self._calls = list(self._calls.values()), {}
        if not calls:
            self._note_shown(speaker)
        elif self._rounds >= self._policy.max_rounds:
            self._account.finish_reason = "max_rounds"
            yield from self._ledger.give_up("cancelled", "The turn has no more rounds.")
            self.is_over = True
        else:
            self._history.add(completion.message, calls).is_bridged = self._is_early
            for call in calls:
                yield from self._ledger.start(call)
        yield events.StepEnded("answer", self._now_s())
        if self.is_over:
            yield self._account.closed()

    def _cut_off(self, speaker: Speaker) -> Happening:
        """The reply ended before the model had finished: nothing more is run."""
        for tracked in speaker.tracker.abandon():
            yield from self._tracked(tracked)
        yield from self._parts.end()
        reason = f"The model was cut off ({self._account.finish_reason})."
        yield from self._ledger.give_up("cancelled", reason)
        yield events.StepEnded("answer", self._now_s())
        self.is_over = True
        yield self._account.closed()

    def _note_shown(self, speaker: Speaker) -> None:
        if speaker.kind == "bridge" and self._answer is not None:
            self._history.show_early(speaker.text)
        else:
            self._history.show(speaker.text)

    # --- what is next ---

    def _advance(self) -> Happening:
        if self.is_over:
            return
        answer, bridge = self._answer, self._bridge
        if answer is not None:
            if not answer.tracker.calls and self._readiness.interrupts() and self._may_cut(answer):
                yield from self._interrupt(answer)
                yield from self._begin_answer()
            elif self._speaks_up_early(answer):
                yield from self._begin_bridge(list(self._calls.values()))
        elif not self._readiness.is_ready():
            yield from self._wait()
        elif bridge is None:
            yield from self._begin_answer()
        elif self._readiness.interrupts() and self._may_cut(bridge):
            yield from self._interrupt(bridge)
            yield from self._begin_answer()

    def _wait(self) -> Happening:
        """Nothing can be said that knows more than before: pass the time, or end the turn."""
        exchange = self._history.last
        if self._ledger.has_pending:
            if self._plan.mode != "sync" and exchange is not None and not exchange.is_bridged:
                yield from self._begin_bridge(exchange.calls)
        elif not self._ledger.has_silent:
            self.is_over = True
            yield self._account.closed()

    def _speaks_up_early(self, answer: Speaker) -> bool:
        return (
            self._policy.bridge_start == "at_first_call"
            and self._plan.mode != "sync"
            and self._bridge is None
            and not answer.shown
            and not self._is_early
            and any(call.task is not None and call.is_pending for call in self._calls.values())
        )

    def _may_cut(self, speaker: Speaker) -> bool:
        """Whether it may be cut here; else it is given time to finish its sentence."""
        grace_ms = self._policy.sentence_grace_ms
        if not grace_ms or speaker.grace_is_over or ends_sentence(speaker.text):
            return True
        if not speaker.is_leaving:
            speaker.is_leaving = True
            self._alarms.ring(grace_ms / 1000, "grace", speaker)
        return False

    def _begin_answer(self) -> Happening:
        self._rounds += 1
        for call in self._ledger:
            call.is_told = call.outcome is not None
        self._readiness.asked()
        messages = self._history.for_answer()
        self._is_early = False
        is_last = self._rounds >= self._policy.max_rounds
        stream = self._plan.ask(
            messages,
            may_call="none" if is_last else "auto",
            max_tokens=None,
        )
        is_grounded = any(call.is_told for call in self._ledger)
        self._answer = self._speak("answer", stream, is_grounded=is_grounded)
        yield events.StepBegan("answer", self._now_s())

    def _begin_bridge(self, calls: Sequence[Call]) -> Happening:
        left_s = self._ledger.left_s(calls)
        tokens = self._bridge_tokens(left_s)
        if not tokens and (exchange := self._history.last) is not None:
            exchange.is_bridged = True
            # Not in the moment in which they are expected: they would only just be overtaken.
            self._alarms.ring((left_s or 0.0) + self._readiness.first_s, "late")
            return
        self._is_early = self._answer is not None
        messages = self._history.for_bridge(calls)
        stream = self._plan.ask(
            messages, may_call="never", max_tokens=tokens or self._policy.bridge_max_tokens
        )
        self._bridge = self._speak("bridge", stream, is_grounded=False)
        yield events.StepBegan("bridge", self._now_s())

    def _bridge_tokens(self, left_s: float | None) -> int:
        """How long a bridge may be, by what is known of the tools; 0 where it has no time."""
        most = self._policy.bridge_max_tokens
        is_heard_out = self._plan.mode != "preemptive"
        if self._policy.bridge_length == "fixed" or left_s is None:
            return most
        if self._is_late:
            return min(most, LATE_BRIDGE) if is_heard_out else most
        tokens = self._plan.learned.bridge_tokens(left_s)
        if tokens is None or (tokens and not is_heard_out):
            return most
        return min(most, tokens)

    def _speak(
        self, kind: events.StepKind, stream: AsyncCompletionStream, *, is_grounded: bool
    ) -> Speaker:
        speaker = Speaker(kind, stream, self.inbox.post, is_grounded=is_grounded)
        self._speakers.append(speaker.task)
        return speaker

    # --- cutting off ---

    def _interrupt(self, speaker: Speaker) -> Happening:
        text_id = self._parts.id_of(speaker)
        yield from self._cut(speaker)
        yield events.Interrupted(
            text_id,
            "tool_results",
            tuple(call.call_id for call in self._ledger.news),
            len(speaker.text),
            max(0, self._policy.bridge_max_tokens - speaker.pieces),
            self._now_s(),
        )

    def _cut(self, speaker: Speaker) -> Happening:
        speaker.cut()
        if speaker is self._bridge:
            self._bridge = None
        else:
            self._answer = None
        yield from self._parts.end(speaker)
        yield events.StepEnded(speaker.kind, self._now_s())
        self._note_shown(speaker)

    # --- the end ---

    async def leave(self) -> None:
        """End what still goes on: nothing does so for nobody, but what has an effect on others."""
        self._alarms.cancel()
        for speaking in self._speakers:
            speaking.cancel()
        cancelled, lingering = self._ledger.leave()
        for task in lingering:
            self._plan.linger(task, self._policy.leave_grace_s)
        await asyncio.gather(*self._speakers, *cancelled, return_exceptions=True)
