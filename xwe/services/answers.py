"""A model's reply as the source of an answer, and the encoder of its events."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.concurrency.iteration import iterate_offloaded
from xwe.core.nlp.completion import Completion, Delta, Message
from xwe.core.nlp.completion_stream import CompletionStream
from xwe.core.nlp.llm_client import LLMClient
from xwe.streams import ui_messages
from xwe.streams.answer import Outcome

# Finds half of a surrogate pair.
_halves = re.compile("[\ud800-\udfff]").search


class DeltaStream(Protocol):
    """A streamed reply, read on the loop: the `Source` of most answers."""

    @property
    def completion(self) -> Completion:
        """The reply so far."""

    def __aiter__(self) -> AsyncIterator[Delta]:
        """The pieces."""

    async def aclose(self) -> None:
        """End the upstream request."""


def open_deltas(
    client: LLMClient,
    messages: Sequence[Message],
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> DeltaStream:
    """The model's reply; the model is asked when the first piece is read."""
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


class WholeReply:
    """A reply that is asked for in one piece, as a stream of one: it costs a fraction."""

    def __init__(self, client: LLMClient, messages: list[Message]) -> None:
        self._client = client
        self._messages = messages
        self._completion = Completion("")
        self._deltas = self._read()

    @property
    def completion(self) -> Completion:
        """The reply, once it is there."""
        return self._completion

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def _read(self) -> AsyncGenerator[Delta, None]:
        self._completion = await self._client.complete_async(self._messages)
        yield Delta(text=self._completion.text, finish_reason=self._completion.finish_reason)

    async def aclose(self) -> None:
        """End the request."""
        await self._deltas.aclose()


class ReplyEncoder:
    """The events of one reply, from `start` to `finish`.

    Text before and after the model's reasoning is one part each; so is the reasoning.

    Args:
        message_id: of the `start` event.
        reply: whose completion is described at the end.
        after_start: further events that are known from the beginning.
    """

    def __init__(self, message_id: str, reply: DeltaStream, *after_start: bytes) -> None:
        self._message_id = message_id
        self._reply = reply
        self._after_start = after_start
        self._kind = ""  # of the open part; "" while none is open
        self._part_id = ""
        self._parts = 0
        self._pieces: list[str] = []
        self._half = ""

    @property
    def text(self) -> str:
        """What has been said so far, without the reasoning."""
        return "".join(self._pieces)

    def open(self) -> list[bytes]:
        """What comes before the first piece."""
        start = ui_messages.start(self._message_id)
        return [start, *self._after_start, ui_messages.START_STEP]

    def feed(self, delta: Delta) -> list[bytes]:
        """The events of one piece."""
        text = delta.text
        if self._kind == "text" and text and not (delta.extra or self._half or _halves(text)):
            self._pieces.append(text)  # by far the most frequent, so it takes no further call
            return [ui_messages.delta("text", self._part_id, text)]
        events: list[bytes] = []
        if delta.extra:
            reasoning = delta.extra.get("reasoning_content")
            if isinstance(reasoning, str) and reasoning:
                events += self._piece("reasoning", reasoning)
        if text:
            events += self._piece("text", text)
        return events

    def close(self, outcome: Outcome) -> list[bytes]:
        """What comes after the last piece."""
        if outcome.kind == "complete":
            completion = self._reply.completion
            return [
                *self._end_part(),
                ui_messages.FINISH_STEP,
                ui_messages.event("data-timing", data=_timing(completion), transient=True),
                ui_messages.finish(completion.finish_reason, completion.usage),
            ]
        end = self._end_part() if outcome.kind == "failed" else []
        return [*end, *ui_messages.closing(outcome)]

    def _piece(self, kind: str, text: str) -> list[bytes]:
        events: list[bytes] = []
        if self._kind != kind:
            events = self._end_part()
            self._parts += 1
            self._kind, self._part_id = kind, f"{kind}-{self._parts}"
            events.append(ui_messages.event(f"{kind}-start", id=self._part_id))
        text = self._whole_characters(text)
        if text:
            events.append(self._delta(text))
        return events

    def _delta(self, text: str) -> bytes:
        if self._kind == "text":
            self._pieces.append(text)
        return ui_messages.delta(self._kind, self._part_id, text)

    def _end_part(self) -> list[bytes]:
        if not self._kind:
            return []
        events = [self._delta("\ufffd")] if self._half else []
        events.append(ui_messages.event(f"{self._kind}-end", id=self._part_id))
        self._kind = self._half = ""
        return events

    def _whole_characters(self, text: str) -> str:
        """`text` as UTF-8 can carry it: JSON escapes may cut a character into two pieces.

        The first half of a surrogate pair is held back until the next piece brings the other.
        """
        if not (self._half or _halves(text)):
            return text
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


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
