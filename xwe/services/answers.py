"""A model's reply as a live answer, and as the events that it consists of."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.iteration import iterate_offloaded
from xwe.core.nlp.completion import Completion, Delta, Message
from xwe.core.nlp.completion_stream import CompletionStream
from xwe.core.nlp.llm_client import LLMClient
from xwe.errors import XweError
from xwe.streams import ui_messages
from xwe.streams.live_stream import LiveStream
from xwe.streams.live_streams import LiveStreams

TEXT_ID = "text"
REASONING_ID = "reasoning"


class DeltaStream(Protocol):
    """A streamed reply, read on the loop."""

    @property
    def completion(self) -> Completion:
        """The reply so far."""

    def __aiter__(self) -> AsyncIterator[Delta]:
        """The pieces."""

    async def aclose(self) -> None:
        """End the upstream request."""


def begin_answer(
    client: LLMClient,
    streams: LiveStreams,
    messages: Sequence[Message],
    owner: str,
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> LiveStream:
    """Ask the model, and return its answer while it is being made.

    Raises:
        SaturatedError: as many answers are being made as may.
        DrainingError: the process is about to end.
    """
    stream_id = streams.new_id()
    deltas = open_deltas(client, messages, temperature=temperature, max_tokens=max_tokens)
    return streams.begin(answer_events(deltas, stream_id), owner, stream_id)


def open_deltas(
    client: LLMClient,
    messages: Sequence[Message],
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> DeltaStream:
    """The model's reply, to be read on the loop; it is asked at the first piece."""
    conversation = list(messages)
    if AsyncConfig.is_async_enabled():
        return client.stream_async(conversation, temperature=temperature, max_tokens=max_tokens)
    # With the kill switch a model call blocks its thread, which must not be the loop's.
    return _OwnThread(client.stream(conversation, temperature=temperature, max_tokens=max_tokens))


class _OwnThread:
    """A streamed reply that is read in a thread of its own, and carried over from there."""

    def __init__(self, stream: CompletionStream) -> None:
        self._stream = stream
        self._deltas = self._read()

    @property
    def completion(self) -> Completion:
        return self._stream.completion

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def _read(self) -> AsyncGenerator[Delta, None]:
        pool = ThreadPoolExecutor(1, thread_name_prefix="xwe-answer")
        try:
            async for delta in iterate_offloaded(self._stream, pool):
                yield delta
        finally:
            pool.shutdown(wait=False)

    async def aclose(self) -> None:
        await self._deltas.aclose()


async def answer_events(
    stream: DeltaStream, message_id: str, *after_start: bytes
) -> AsyncGenerator[bytes, None]:
    """The events of one reply, from `start` to `finish`; an error is its last event.

    Text before and after the model's reasoning is one part; so is the reasoning. `after_start` is
    what else is known from the beginning.
    """
    yield ui_messages.start(message_id)
    for event in after_start:
        yield event
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
