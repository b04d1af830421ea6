"""The events of a turn with tools, in the order in which they happen.

A reader shows them as they come. Times are seconds since the start of the turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xwe.core.nlp.completion import Usage

StepKind = Literal["answer", "bridge"]
"""An answer may call tools and knows their results; a bridge only passes the time until then."""

TextKind = Literal["text", "reasoning"]


@dataclass(frozen=True, slots=True)
class StepBegan:
    """The model has been asked."""

    kind: StepKind
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepEnded:
    """The model has finished its reply, or was cut off."""

    kind: StepKind
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TextBegan:
    """A part of the message begins."""

    kind: TextKind
    text_id: str


@dataclass(frozen=True, slots=True)
class TextGrew:
    """A piece of the part."""

    kind: TextKind
    text_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TextEnded:
    """The part is complete, or will not be continued."""

    kind: TextKind
    text_id: str


@dataclass(frozen=True, slots=True)
class CallAnnounced:
    """The model has begun to write a call."""

    call_id: str
    tool: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of the call's arguments."""

    call_id: str
    piece: str


@dataclass(frozen=True, slots=True)
class CallReady:
    """The call's arguments are complete.

    Attributes:
        call_id: of the call.
        tool: its name.
        arguments: JSON text of an object as the model wrote it; "{}" for none.
        at_s: when.
        value: the same object, parsed.
    """

    call_id: str
    tool: str
    arguments: str
    at_s: float = 0.0
    value: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The tool runs."""

    call_id: str
    tool: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CallProgress:
    """The tool reports its progress.

    Attributes:
        call_id: of the call.
        fraction: the share of the work that is done, 0 to 1; None if unknown.
        message: a few words.
    """

    call_id: str
    fraction: float | None
    message: str


@dataclass(frozen=True, slots=True)
class CallFinished:
    """The tool's result, as the model is told it."""

    call_id: str
    tool: str
    output: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CallFailed:
    """There is no result; `error` is what the model is told instead."""

    call_id: str
    tool: str
    error: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Text was cut off because results are there.

    Attributes:
        text_id: of the part that was cut; None if nothing of it had been shown.
        reason: why.
        call_ids: the calls whose results are the cause.
        shown_chars: how much of the part had been shown.
        saved_tokens: how many more tokens the model might have written, at most.
        at_s: when.
    """

    text_id: str | None
    reason: Literal["tool_results"]
    call_ids: tuple[str, ...]
    shown_chars: int
    saved_tokens: int
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnTiming:
    """The times of a turn.

    Attributes:
        ttft_s: the first text; None if there was none.
        first_grounded_s: the first text written with a tool's result; None if there was none.
        total_s: the end.
        wasted_tokens: pieces of text that were paid for and not shown.
    """

    ttft_s: float | None
    first_grounded_s: float | None
    total_s: float
    wasted_tokens: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The last event of a turn that reached its end; `usage` is the sum over its answers."""

    finish_reason: str | None
    timing: TurnTiming
    usage: Usage | None = field(default=None)


AgentEvent = (
    StepBegan
    | StepEnded
    | TextBegan
    | TextGrew
    | TextEnded
    | CallAnnounced
    | CallArguments
    | CallReady
    | CallStarted
    | CallProgress
    | CallFinished
    | CallFailed
    | Interrupted
    | TurnEnded
)
