"""A turn with tools as an answer: its events, encoded as a UI Message Stream."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from xwe.core.nlp.completion import Message
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.agent import Agent
from xwe.core.nlp.tools.policy import Awaiting, Mode
from xwe.streams import ui_messages
from xwe.streams.answer import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """A request to an agent; see `Agent.run_async`."""

    messages: Sequence[Message]
    mode: Mode
    awaiting: Awaiting
    tools: Sequence[str] | None = None
    temperature: float | None = None
    max_tokens: int | None = None


def open_turn(agent: Agent, asked: TurnRequest) -> AsyncGenerator[events.AgentEvent, None]:
    """What happens in a turn: the source of its answer.

    Raises:
        InvalidRequestError: an unknown tool, or a conversation that is not valid.
    """
    return agent.run_async(
        asked.messages,
        mode=asked.mode,
        awaiting=asked.awaiting,
        only=asked.tools,
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
    )


class TurnEncoder:
    """The events of one turn, from `start` to `finish`.

    A preemption is a `data-interrupt`, never an `abort`: that would end the whole stream.
    """

    # Nobody stores the text of such a turn.
    text = ""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id

    def open(self) -> Sequence[bytes]:
        """What comes before anything happens."""
        return [ui_messages.start(self._message_id)]

    def feed(self, event: events.AgentEvent) -> Sequence[bytes]:
        """The messages of one event."""
        return _ENCODERS[type(event)](event)

    def close(self, outcome: Outcome) -> Sequence[bytes]:
        """What comes after the last event; a whole turn has said its `finish` itself."""
        return ui_messages.closing(outcome)


Messages = Sequence[bytes]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _mark(what: str, at_s: float, **fields: Any) -> bytes:
    """When something happened, in milliseconds of the turn: what a timeline is drawn from."""
    return ui_messages.event(
        "data-mark", data={"what": what, "at": _ms(at_s), **fields}, transient=True
    )


def _step_began(event: events.StepBegan) -> Messages:
    return [ui_messages.START_STEP, _mark("step-start", event.at_s, kind=event.kind)]


def _step_ended(event: events.StepEnded) -> Messages:
    return [_mark("step-end", event.at_s, kind=event.kind), ui_messages.FINISH_STEP]


def _text_began(event: events.TextBegan) -> Messages:
    return [ui_messages.event(f"{event.kind}-start", id=event.text_id)]


def _text_grew(event: events.TextGrew) -> Messages:
    return [ui_messages.delta(event.kind, event.text_id, event.text)]


def _text_ended(event: events.TextEnded) -> Messages:
    return [ui_messages.event(f"{event.kind}-end", id=event.text_id)]


def _call_announced(event: events.CallAnnounced) -> Messages:
    return [ui_messages.event("tool-input-start", toolCallId=event.call_id, toolName=event.tool)]


def _call_arguments(event: events.CallArguments) -> Messages:
    return [
        ui_messages.event("tool-input-delta", toolCallId=event.call_id, inputTextDelta=event.piece)
    ]


def _call_ready(event: events.CallReady) -> Messages:
    ready = {"toolCallId": event.call_id, "toolName": event.tool}
    try:
        message = ui_messages.event("tool-input-available", **ready, input=event.value)
    except orjson.JSONEncodeError:  # a number beyond 64 bits, or too many levels
        message = ui_messages.event("tool-input-available", **ready, input=event.arguments)
    return [message, _mark("call-ready", event.at_s, callId=event.call_id, tool=event.tool)]


def _call_started(event: events.CallStarted) -> Messages:
    return [_mark("tool-start", event.at_s, callId=event.call_id, tool=event.tool)]


def _call_progress(event: events.CallProgress) -> Messages:
    progress = {"callId": event.call_id, "fraction": event.fraction, "message": event.message}
    return [ui_messages.event("data-tool-progress", data=progress, transient=True)]


def _call_finished(event: events.CallFinished) -> Messages:
    return [
        ui_messages.event("tool-output-available", toolCallId=event.call_id, output=event.output),
        _mark("tool-end", event.at_s, callId=event.call_id, tool=event.tool),
    ]


def _call_failed(event: events.CallFailed) -> Messages:
    return [
        ui_messages.event("tool-output-error", toolCallId=event.call_id, errorText=event.error),
        _mark("tool-end", event.at_s, callId=event.call_id, tool=event.tool),
    ]


def _interrupted(event: events.Interrupted) -> Messages:
    data = {
        "textId": event.text_id,
        "reason": event.reason,
        "callIds": event.call_ids,
        "shownChars": event.shown_chars,
        "savedTokens": event.saved_tokens,
        "at": _ms(event.at_s),
    }
    return [ui_messages.event("data-interrupt", data=data)]


def _turn_ended(event: events.TurnEnded) -> Messages:
    timing = event.timing
    data = {
        "ttft": _ms(timing.ttft_s),
        "firstGrounded": _ms(timing.first_grounded_s),
        "total": _ms(timing.total_s),
        "wastedTokens": timing.wasted_tokens,
    }
    return [
        ui_messages.event("data-timing", data=data, transient=True),
        ui_messages.finish(event.finish_reason, event.usage),
    ]


_ENCODERS: Mapping[type, Callable[[Any], Messages]] = {
    events.StepBegan: _step_began,
    events.StepEnded: _step_ended,
    events.TextBegan: _text_began,
    events.TextGrew: _text_grew,
    events.TextEnded: _text_ended,
    events.CallAnnounced: _call_announced,
    events.CallArguments: _call_arguments,
    events.CallReady: _call_ready,
    events.CallStarted: _call_started,
    events.CallProgress: _call_progress,
    events.CallFinished: _call_finished,
    events.CallFailed: _call_failed,
    events.Interrupted: _interrupted,
    events.TurnEnded: _turn_ended,
}
