"""The values of a model call: what is asked, what comes back, in whole and in pieces.

All are frozen: they cross threads. Times are in seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
"""One chat message as the wire has it: {"role": …, "content": …, …}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One question to the model.

    Attributes:
        messages: the conversation, oldest first.
        model: the provider's name of the model.
        temperature: 0 to 2; None leaves it to the provider.
        max_tokens: the longest reply, in tokens; None leaves it to the provider.
        tools: tool descriptions in the wire's shape.
        tool_choice: "auto", "none", "required" or the wire's object.
        response_format: the wire's object, as for JSON replies.
        extra: further fields of the body; they win over the ones above.
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
        connect_s: until the connection stands.
        first_token_s: from the request until the first byte of the reply's body (streamed) or its
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
    """What the provider counted, in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole tool call; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a call's time went.

    Attributes:
        queue_s: waiting for a place (admission and rate limit).
        upstream_s: in the provider's hands, all attempts together.
        first_token_s: from the call to the first piece; None when not streamed.
        total_s: the call as a whole.
        attempts: how often the provider was asked; 0 when the answer was cached.
    """

    queue_s: float = 0.0
    upstream_s: float = 0.0
    first_token_s: float | None = None
    total_s: float = 0.0
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole reply.

    `message` is the assistant's message as it came, with fields we do not know
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
    """A piece of a tool call; whatever the provider left out is None."""

    index: int | None = None
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed reply; `extra` holds the delta's fields that we do not know."""

    text: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    extra: Mapping[str, Any] | None = None
