"""The values of a model call: the request, the reply, and the pieces of a streamed reply.

All of them are frozen, since they cross threads. Times are in seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
"""One chat message as the wire has it: {"role": …, "content": …, …}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One request to the model.

    Attributes:
        messages: the conversation, oldest first.
        model: the provider's name for the model.
        temperature: 0 to 2; None leaves it to the provider.
        max_tokens: the longest reply, in tokens; None leaves it to the provider.
        tools: tool descriptions in the wire's shape.
        tool_choice: "auto", "none", "required" or the wire's object.
        response_format: the wire's object, for JSON replies.
        extra: more fields of the body; they override the ones above.
    """

    messages: Sequence[Message]
    model: str
    temperature: float | None = None
    max_tokens: int | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long one attempt may take, in seconds.

    Attributes:
        connect_s: until the connection is open.
        first_token_s: from the request to the first byte of the reply's body (streamed) or to its
            headers (not streamed).
        idle_s: between two pieces of a stream.
        total_s: the attempt as a whole.
    """

    connect_s: float = 5.0
    first_token_s: float = 30.0
    idle_s: float = 30.0
    total_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Usage:
    """The provider's token counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


def usage_fields(usage: Usage | None) -> dict[str, int] | None:
    """The counts as a JSON object with the protocol's names; None where there are none."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole tool call.

    Attributes:
        id: the provider's, or a generated one.
        name: of the tool.
        arguments: JSON text as the model wrote it; "" for none.
        value: the arguments, parsed: {} for none; None where they are not a JSON object.
        fault: what is wrong with the arguments, in a sentence for the model; "" if nothing is.
    """

    id: str
    name: str
    arguments: str
    value: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    fault: str = field(default="", compare=False, repr=False)

    def on_wire(self) -> dict[str, Any]:
        """The call as an assistant's message holds it."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a call's time went.

    Attributes:
        queue_s: waiting for admission and for the rate limit.
        upstream_s: waiting for the provider, in all attempts together.
        first_token_s: from the call to the first delta; None when not streamed.
        total_s: the call as a whole.
        attempts: requests sent to the provider; 0 when the answer was cached.
    """

    queue_s: float = 0.0
    upstream_s: float = 0.0
    first_token_s: float | None = None
    total_s: float = 0.0
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole reply.

    `message` is the assistant's message as it came, including fields that we do not know
    (`reasoning_content`), so that it can be sent back unchanged.
    """

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    model: str = ""
    message: Message = field(default_factory=dict)
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call.

    A transport yields what the provider sent; whatever it left out is None. A client's stream
    yields the protocol's own form, whatever the provider's habits: `index` numbers the reply's
    calls from 0, `id` and `name` come once, with the first piece, and nothing follows the closing
    brace.

    Attributes:
        index: which call of the reply.
        id: of the call.
        name: of the tool.
        arguments: a piece of the JSON text.
        call: the whole call, on the piece that ends it; never set by a transport.
    """

    index: int | None = None
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    call: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed reply; `extra` holds the fields of it that we do not know."""

    text: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: Mapping[str, Any] | None = None
