"""A whole reply put together from its deltas."""

from collections.abc import Mapping
from typing import Any

from xwe.core.nlp.completion import Completion, Delta, Message, Timings, ToolCallDelta, Usage
from xwe.core.nlp.streamed_calls import StreamedCalls


class ReplyAssembly:
    """Collects deltas; `completion()` is the reply so far, at any moment.

    Attributes:
        usage: the provider's token counts; None until it has sent them.
        timings: of the call; None until it has ended.
    """

    def __init__(self, model: str = "") -> None:
        self.usage: Usage | None = None
        self.timings: Timings | None = None
        self._model = model
        self._texts: list[str] = []
        self._finish_reason: str | None = None
        self._calls = StreamedCalls()
        self._extra: dict[str, Any] = {}

    def add(self, delta: Delta) -> Delta:
        """Add the next delta; the same, with its tool calls told apart (see `ToolCallDelta`)."""
        if delta.text:
            self._texts.append(delta.text)
        if delta.finish_reason is not None:
            self._finish_reason = delta.finish_reason
        if delta.usage is not None:
            self.usage = delta.usage
        if delta.extra:
            self._add_extra(delta.extra)
        if not delta.tool_calls:
            return delta
        pieces: tuple[ToolCallDelta, ...] = ()
        for piece in delta.tool_calls:
            pieces += self._calls.add(piece)
        if pieces == delta.tool_calls:
            return delta
        return Delta(delta.text, pieces, delta.finish_reason, delta.usage, delta.extra)

    def _add_extra(self, extra: Mapping[str, Any]) -> None:
        for name, value in extra.items():
            before = self._extra.get(name)
            if isinstance(before, str) and isinstance(value, str):
                self._extra[name] = before + value
            elif value is not None:
                self._extra[name] = value

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._texts)

    def completion(self) -> Completion:
        """The reply so far; its `finish_reason` is None until it is whole."""
        text = self.text
        calls = tuple(call.as_call() for call in self._calls.calls)
        message: Message = {"role": "assistant", "content": text, **self._extra}
        if calls:
            message["content"] = text or None
            message["tool_calls"] = [call.on_wire() for call in calls]
        return Completion(
            text, self._finish_reason, self.usage, calls, self._model, message, self.timings
        )
