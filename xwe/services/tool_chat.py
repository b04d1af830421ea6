"""A turn with tools as a live answer: the engine's events in the UI Message Stream convention."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from xwe.core.nlp.completion import Message, Usage
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.agent import Agent
from xwe.core.nlp.tools.policy import Awaiting, Mode
from xwe.errors import XweError
from xwe.streams import ui_messages
from xwe.streams.live_stream import LiveStream
from xwe.streams.live_streams import LiveStreams


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """What is asked of an agent; see `Agent.run_async`."""

    messages: Sequence[Message]
    mode: Mode
    awaiting: Awaiting
    tools: Sequence[str] | None = None
    temperature: float | None = None
    max_tokens: int | None = None


def begin_turn(agent: Agent, streams: LiveStreams, asked: TurnRequest, owner: str) -> LiveStream:
    """Begin a turn, and return it while it goes on.

    Raises:
        InvalidRequestError: an unknown tool, or a conversation that is not valid.
        SaturatedError: as many answers are being made as may.
        DrainingError: the process is about to end.
    """
    stream_id = streams.new_id()
    happenings = agent.run_async(
        asked.messages,
        mode=asked.mode,
        awaiting=asked.awaiting,
        only=asked.tools,
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
    )
    return streams.begin(turn_messages(happenings, stream_id), owner, stream_id)


async def turn_messages(
    happenings: AsyncGenerator[events.AgentEvent, None], message_id: str
) -> AsyncGenerator[bytes, None]:
    """The messages of one turn, from `start` to `finish`; an error is the last one.

    A preemption is a `data-interrupt`, never an `abort`: that would end the whole stream.
    """
    yield ui_messages.start(message_id)
    try:
        async for event in happenings:
            for message in _ENCODERS[type(event)](event):
                yield message
    except XweError as error:
        yield ui_messages.error(error)
    finally:
        await happenings.aclose()


Messages = Iterable[bytes]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _mark(what: str, at_s: float, **fields: Any) -> bytes:
    """When something happened, in milliseconds of the turn: what a timeline is drawn from."""
    return ui_messages.event(
        "data-mark", data={"what": what, "at": _ms(at_s), **fields}, transient=True
    )


def _step_began(event: events.StepBegan) -> Messages:
    yield ui_messages.START_STEP
    yield _mark("step-start", event.at_s, kind=event.kind)


def _step_ended(event: events.StepEnded) -> Messages:
    yield _mark("step-end", event.at_s, kind=event.kind)
    yield ui_messages.FINISH_STEP


def _text_began(event: events.TextBegan) -> Messages:
    yield ui_messages.event(f"{event.kind}-start", id=event.text_id)


def _text_grew(event: events.TextGrew) -> Messages:
    return (ui_messages.delta(event.kind, event.text_id, event.text),)  # by far the most frequent


def _text_ended(event: events.TextEnded) -> Messages:
    yield ui_messages.event(f"{event.kind}-end", id=event.text_id)


def _call_announced(event: events.CallAnnounced) -> Messages:
    yield ui_messages.event("tool-input-start", toolCallId=event.call_id, toolName=event.tool)


def _call_arguments(event: events.CallArguments) -> Messages:
    yield ui_messages.event(
        "tool-input-delta", toolCallId=event.call_id, inputTextDelta=event.piece
    )


def _call_ready(event: events.CallReady) -> Messages:
    yield ui_messages.event(
        "tool-input-available",
        toolCallId=event.call_id,
        toolName=event.tool,
        input=orjson.loads(event.arguments or "{}"),
    )
    yield _mark("call-ready", event.at_s, callId=event.call_id, tool=event.tool)


def _call_started(event: events.CallStarted) -> Messages:
    yield _mark("tool-start", event.at_s, callId=event.call_id, tool=event.tool)


def _call_progress(event: events.CallProgress) -> Messages:
    progress = {"callId": event.call_id, "fraction": event.fraction, "message": event.message}
    yield ui_messages.event("data-tool-progress", data=progress, transient=True)


def _call_finished(event: events.CallFinished) -> Messages:
    yield ui_messages.event("tool-output-available", toolCallId=event.call_id, output=event.output)
    yield _mark("tool-end", event.at_s, callId=event.call_id, tool=event.tool)


def _call_failed(event: events.CallFailed) -> Messages:
    yield ui_messages.event("tool-output-error", toolCallId=event.call_id, errorText=event.error)
    yield _mark("tool-end", event.at_s, callId=event.call_id, tool=event.tool)


def _interrupted(event: events.Interrupted) -> Messages:
    data = {
        "textId": event.text_id,
        "reason": event.reason,
        "callIds": event.call_ids,
        "shownChars": event.shown_chars,
        "savedTokens": event.saved_tokens,
        "at": _ms(event.at_s),
    }
    yield ui_messages.event("data-interrupt", data=data)


def _turn_ended(event: events.TurnEnded) -> Messages:
    timing = event.timing
    data = {
        "ttft": _ms(timing.ttft_s),
        "firstGrounded": _ms(timing.first_grounded_s),
        "total": _ms(timing.total_s),
        "wastedTokens": timing.wasted_tokens,
    }
    yield ui_messages.event("data-timing", data=data, transient=True)
    metadata = {"finishReason": event.finish_reason, "usage": _described(event.usage)}
    yield ui_messages.event("finish", messageMetadata=metadata)


def _described(usage: Usage | None) -> Mapping[str, int] | None:
    if usage is None:
        return None
    return {
        "promptTokens": usage.prompt_tokens,
        "completionTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
    }


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
