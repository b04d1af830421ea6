"""A whole reply put together from its pieces."""

from collections.abc import Mapping
from typing import Any

from xwe.core.nlp.call_grouping import CallGrouping, GroupedCall
from xwe.core.nlp.completion import (
    Completion,
    Delta,
    Message,
    Timings,
    ToolCall,
    ToolCallDelta,
    Usage,
)


class ReplyAssembly:
    """Collects deltas; `completion()` is the reply so far, at any moment.

    Attributes:
        usage: what the provider counted, once it has said so.
        timings: of the call, once it has ended.
    """

    def __init__(self, model: str = "") -> None:
        self.usage: Usage | None = None
        self.timings: Timings | None = None
        self._model = model
        self._texts: list[str] = []
        self._finish_reason: str | None = None
        self._grouping = CallGrouping()
        self._arguments: dict[GroupedCall, list[str]] = {}
        self._extra: dict[str, Any] = {}

    def add(self, delta: Delta) -> None:
        """Take the next piece in."""
        if delta.text:
            self._texts.append(delta.text)
        if delta.finish_reason is not None:
            self._finish_reason = delta.finish_reason
        if delta.usage is not None:
            self.usage = delta.usage
        for piece in delta.tool_calls:
            self._add_call(piece)
        if delta.extra:
            self._add_extra(delta.extra)

    def _add_call(self, piece: ToolCallDelta) -> None:
        call = self._grouping.call_of(piece)
        grown = call.take(piece.arguments)
        # As the model wrote them, whether or not they are what they should be; but only once.
        written = grown if call.scanner.is_closed else piece.arguments
        self._arguments.setdefault(call, []).append(written)

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
        calls = tuple(
            ToolCall(call.call_id, call.name, "".join(self._arguments[call]))
            for call in self._grouping.calls
        )
        message: Message = {"role": "assistant", "content": text, **self._extra}
        if calls:
            message["content"] = text or None
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in calls
            ]
        return Completion(
            text, self._finish_reason, self.usage, calls, self._model, message, self.timings
        )
