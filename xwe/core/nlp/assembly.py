"""A whole reply put together from its pieces."""

from collections.abc import Mapping
from typing import Any

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
        self._calls: list[_GrowingCall] = []
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
            self._call_of(piece).add(piece)
        if delta.extra:
            self._add_extra(delta.extra)

    def _call_of(self, piece: ToolCallDelta) -> "_GrowingCall":
        """The call that a piece belongs to.

        Some servers send no index, or 0 for every call: a new id says that a new call begins.
        """
        for call in reversed(self._calls):
            if piece.index is not None and piece.index != call.index:
                continue
            if piece.id and call.id and piece.id != call.id:
                break
            return call
        self._calls.append(_GrowingCall(piece.index))
        return self._calls[-1]

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
        calls = tuple(call.whole(number) for number, call in enumerate(self._calls))
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


class _GrowingCall:
    __slots__ = ("_arguments", "_name", "id", "index")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self._name = ""
        self._arguments: list[str] = []

    def add(self, piece: ToolCallDelta) -> None:
        self.id = self.id or piece.id or ""
        self._name = self._name or piece.name or ""
        if piece.arguments:
            self._arguments.append(piece.arguments)

    def whole(self, number: int) -> ToolCall:
        # An id is needed to answer a call; where the provider gave none, its place names it.
        return ToolCall(self.id or f"call_{number}", self._name, "".join(self._arguments))
