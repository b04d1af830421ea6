"""A model's reply as the events of a live answer."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from xwe.core.nlp.completion import Completion
from xwe.core.nlp.completion_stream import AsyncCompletionStream
from xwe.errors import XweError
from xwe.streams import ui_messages

TEXT_ID = "text"
REASONING_ID = "reasoning"


async def answer_events(
    stream: AsyncCompletionStream, message_id: str
) -> AsyncGenerator[bytes, None]:
    """The events of one reply, from `start` to `finish`; an error is its last event.

    Text before and after the model's reasoning is one part; so is the reasoning.
    """
    yield ui_messages.start(message_id)
    yield ui_messages.START_STEP
    parts = _Parts()
    try:
        async for delta in stream:
            reasoning = delta.extra.get("reasoning_content") if delta.extra else None
            if isinstance(reasoning, str) and reasoning:
                for event in parts.piece("reasoning", REASONING_ID, reasoning):
                    yield event
            if delta.text:
                for event in parts.piece("text", TEXT_ID, delta.text):
                    yield event
    except XweError as error:
        for event in parts.end():
            yield event
        yield ui_messages.error(error)
        return
    finally:
        await stream.aclose()
    for event in parts.end():
        yield event
    completion = stream.completion
    yield ui_messages.FINISH_STEP
    yield ui_messages.event("data-timing", data=_timing(completion), transient=True)
    yield ui_messages.event("finish", messageMetadata=_metadata(completion))


class _Parts:
    """Which part of the message is open; a new kind of piece closes the one before it."""

    def __init__(self) -> None:
        self._open: tuple[str, str] | None = None
        self._count = 0

    def piece(self, kind: str, name: str, text: str) -> list[bytes]:
        open_part = self._open
        if open_part is not None and open_part[0] == kind:
            return [ui_messages.delta(kind, open_part[1], text)]
        events = self.end()
        self._count += 1
        part_id = f"{name}-{self._count}"
        self._open = kind, part_id
        events.append(ui_messages.event(f"{kind}-start", id=part_id))
        events.append(ui_messages.delta(kind, part_id, text))
        return events

    def end(self) -> list[bytes]:
        if self._open is None:
            return []
        kind, part_id = self._open
        self._open = None
        return [ui_messages.event(f"{kind}-end", id=part_id)]


def _timing(completion: Completion) -> Mapping[str, Any]:
    """Where the time went, in milliseconds, as Server-Timing says it of a whole reply."""
    timings = completion.timings
    if timings is None:
        return {}
    return {
        "queue": round(timings.queue_s * 1000, 2),
        "ttft": round((timings.first_token_s or 0.0) * 1000, 2),
        "upstream": round(timings.upstream_s * 1000, 2),
        "overhead": round(
            max(0.0, timings.total_s - timings.queue_s - timings.upstream_s) * 1000, 2
        ),
        "total": round(timings.total_s * 1000, 2),
    }


def _metadata(completion: Completion) -> Mapping[str, Any]:
    usage = completion.usage
    return {
        "finishReason": completion.finish_reason,
        "usage": None
        if usage is None
        else {
            "promptTokens": usage.prompt_tokens,
            "completionTokens": usage.completion_tokens,
            "totalTokens": usage.total_tokens,
        },
    }
