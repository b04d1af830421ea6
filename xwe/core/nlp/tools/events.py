"""What happens in a turn with tools, as values in the order in which it happens.

A reader shows them as they come. Times are in seconds after the turn's beginning.
"""

from dataclasses import dataclass, field
from typing import Literal

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
    """The model has said what it had to say, or was cut off."""

    kind: StepKind
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TextBegan:
    """A part of the message begins."""

    kind: TextKind
    text_id: str


@dataclass(frozen=True, slots=True)
class TextGrew:
    """A piece of it."""

    kind: TextKind
    text_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TextEnded:
    """It is whole, or will not be continued."""

    kind: TextKind
    text_id: str


@dataclass(frozen=True, slots=True)
class CallAnnounced:
    """The model has begun to write a call."""

    call_id: str
    tool: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of its arguments."""

    call_id: str
    piece: str


@dataclass(frozen=True, slots=True)
class CallReady:
    """The call's arguments are whole; `arguments` is their JSON text, "{}" for none."""

    call_id: str
    tool: str
    arguments: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The tool runs."""

    call_id: str
    tool: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CallProgress:
    """How far it is: a share from 0 to 1 where it knows, and a few words."""

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
        text_id: of the part that was cut; None when nothing of it had been shown.
        reason: why.
        call_ids: whose results are the cause.
        shown_chars: how much of the part had been shown.
        saved_tokens: how many more the model might have written, at most.
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
    """When what was there, in seconds after the turn's beginning.

    Attributes:
        ttft_s: the first text; None where there was none.
        first_grounded_s: the first text that knows a tool's result.
        total_s: the end.
        wasted_tokens: pieces of text that were paid for and not shown.
    """

    ttft_s: float | None
    first_grounded_s: float | None
    total_s: float
    wasted_tokens: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The last event of a turn that came to its end."""

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
