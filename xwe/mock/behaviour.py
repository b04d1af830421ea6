"""How the model server behaves: a frozen value, for the whole server or for one request.

The same fields are set in Python (`Behaviour(latency_s=1)`), on the command line
(`xwe mock --latency 1`) and per request in the JSON body (`"mock": {"latency_s": 1}`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args

import orjson

from xwe.errors import InvalidRequestError

Fault = Literal[
    "no_headers",
    "stall",
    "drip",
    "reset",
    "close",
    "truncate",
    "no_finish_reason",
    "no_done",
    "status",
    "error_event",
    "malformed_json",
    "html",
    "wrong_type",
    "huge_body",
    "huge_line",
]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
ToolArguments = Literal["trickle", "burst", "burst_at_end", "object"]
ToolCallShape = Literal[
    "openai", "no_index", "zero_index", "no_id", "bare", "repeated", "late_name"
]
ToolCallOrder = Literal["in_turn", "interleaved"]
LineEnd = Literal["lf", "crlf", "cr"]

# More is of no use to any test or demo, and a typing error must not bring a machine down.
MAX_TOKENS: Final = 1_000_000
MAX_SIZE_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ScriptedToolCall:
    """A tool call that the server makes when told to.

    Attributes:
        name: the tool's name.
        arguments: JSON text as the model writes it; may be broken on purpose, or empty.
        id: the call's id; generated when None.
    """

    name: str
    arguments: str = "{}"
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the server answers a request. Times are in seconds, lengths in tokens.

    A piece is one chunk of a streamed reply that carries content, or 16 bytes of a plain reply's
    body. `xwe.mock.tokens` says what a token is.

    Attributes:
        latency_s: time until the whole reply (plain), its first token (streamed), or the fault.
        tokens_per_s: pace of a streamed reply; None is as fast as the wire allows.
        length: length of a template reply; None is the template's own.
        seed: varies the replies; the same request and seed give the same reply.
        text: the reply, instead of a template. With `tool_calls` it comes before them.
        reasoning: sent as `reasoning_content` before the reply.
        tool_calls: calls to make, whether or not the request offers tools; mappings with `name`
            and `arguments` (JSON text, or any JSON value) work too. None lets the server decide.
        text_after: text after the tool calls, or after the text where there are none.
        tool_arguments: how arguments arrive in a stream.
            trickle: token by token.
            burst: each call's in one piece, when its last token is due.
            burst_at_end: all calls' together, when the last token of the last call is due.
            object: as burst, but as a JSON object instead of its text; in a plain reply too.
        tool_call_shape: "openai", or a quirk of other providers: no index (no_index), always index
            0 (zero_index), no id (no_id), neither (bare), id and name in every piece (repeated),
            or a name that does not come with the first piece (late_name).
        tool_call_order: one call after the other, or a piece of each in turn.
        cut_after: cut the reply after so many tokens, even within a call's arguments, with the
            finish_reason "length"; a request's max_tokens does the same.
        tokens_to_end: how many tokens' time a paced stream's end (finish_reason, usage, [DONE])
            takes; 1 is a model for which the end is one more step.
        finish_reason: sent instead of the true one.
        fault: None is a good reply. The faults:
            no_headers: the request is read and never answered.
            stall: nothing more after `after_pieces`; the connection stays open.
            drip: one byte every `interval_s` after `after_pieces`.
            reset: the connection is reset after `after_pieces`; 0 is before the first byte.
            close: as reset, but the connection is closed properly.
            truncate: the body ends properly after `after_pieces`, without finish_reason and [DONE].
            no_finish_reason: everything but the finish_reason.
            no_done: everything but the final [DONE].
            status: an error reply with `status`, `error_code` and `retry_after_s`.
            error_event: an error object in a reply with status 200, after `after_pieces`.
            malformed_json: JSON that does not parse, after `after_pieces`.
            html: an HTML page with status 200.
            wrong_type: JSON that parses but is not the protocol, after `after_pieces`.
            huge_body: a reply of `size_bytes` (100 MB).
            huge_line: a line of `size_bytes` (10 MB), after `after_pieces`.
        after_pieces: number of pieces before the fault.
        interval_s: time between two bytes of a drip.
        size_bytes: size of a huge body or line.
        broken_text: sent by malformed_json, html and wrong_type instead of their own text.
        status: status of the fault "status".
        error_code: the error object's code; None is the usual one for the status.
        retry_after_s: the Retry-After header; None leaves it out.
        write_bytes: cut the stream into writes of so many bytes, even within characters.
        events_per_write: number of stream events in one write.
        line_end: how the stream's lines end.
        comment_every: send a comment line before every n-th event.
    """

    latency_s: float = 0.0
    tokens_per_s: float | None = None
    length: int | None = None
    seed: int = 0
    text: str | None = None
    reasoning: str | None = None
    tool_calls: Sequence[ScriptedToolCall | Mapping[str, Any]] | None = None
    tool_arguments: ToolArguments = "trickle"
    tool_call_shape: ToolCallShape = "openai"
    tool_call_order: ToolCallOrder = "in_turn"
    text_after: str | None = None
    cut_after: int | None = None
    tokens_to_end: int = 0
    finish_reason: FinishReason | None = None
    fault: Fault | None = None
    after_pieces: int = 0
    interval_s: float = 4.0
    size_bytes: int | None = None
    broken_text: str | None = None
    status: int = 500
    error_code: str | None = None
    retry_after_s: float | None = None
    write_bytes: int | None = None
    events_per_write: int = 1
    line_end: LineEnd = "lf"
    comment_every: int | None = None
    scripted_calls: tuple[ScriptedToolCall, ...] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InvalidRequestError: a field is wrong; names it.
        """
        for name, (accepts, allowed) in _CHECKS.items():
            value = getattr(self, name)
            if not accepts(value):
                raise InvalidRequestError(
                    f"{name} must be {allowed}, not {value!r:.80}.", field=name
                )
        if self.tool_calls is not None:
            object.__setattr__(self, "scripted_calls", tuple(map(_scripted, self.tool_calls)))

    def with_overrides(self, overrides: Any) -> "Behaviour":
        """A copy of this behaviour, changed by a request's "mock" object.

        Raises:
            InvalidRequestError: for an unknown field or a value of the wrong kind; names it.
        """
        if not isinstance(overrides, dict):
            raise InvalidRequestError("mock must be an object.", field="mock")
        unknown = next((name for name in overrides if name not in _CHECKS), None)
        if unknown is not None:
            raise InvalidRequestError(
                f"mock.{unknown} is unknown; there are {', '.join(_CHECKS)}.",
                field=f"mock.{unknown}",
            )
        try:
            return replace(self, **overrides)
        except InvalidRequestError as error:
            raise InvalidRequestError(
                f"mock.{error.message}", field=f"mock.{error.field}"
            ) from None


def _scripted(call: ScriptedToolCall | Mapping[str, Any]) -> ScriptedToolCall:
    if isinstance(call, ScriptedToolCall):
        return call
    arguments = call.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments).decode()
    return ScriptedToolCall(call["name"], arguments, call.get("id"))


Check = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(least: float, most: float = 86_400.0) -> Check:
    return (
        lambda value: _is_number(value) and least <= value <= most,
        f"a number from {least:g} to {most:g}",
    )


def _integer(least: int, most: int) -> Check:
    return (
        lambda value: (
            isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        ),
        f"an integer from {least} to {most}",
    )


def _one_of(literal: Any) -> Check:
    names = get_args(literal)
    return lambda value: isinstance(value, str) and value in names, "one of " + ", ".join(names)


def _or_none(check: Check) -> Check:
    accepts, allowed = check
    return lambda value: value is None or accepts(value), f"{allowed}, or null"


_STRING: Check = (lambda value: isinstance(value, str), "a string")


def _is_call(value: Any) -> bool:
    if isinstance(value, ScriptedToolCall):
        return True
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("id"), str | None)
        and value.keys() <= {"name", "arguments", "id"}
    )


_CALLS: Check = (
    lambda value: isinstance(value, list | tuple) and all(map(_is_call, value)),
    "a list of objects with a string name, arguments and perhaps a string id",
)

_CHECKS: Final[Mapping[str, Check]] = {
    "latency_s": _number(0),
    "tokens_per_s": _or_none(_number(0.001, 1e9)),
    "length": _or_none(_integer(1, MAX_TOKENS)),
    "seed": _integer(-(2**63), 2**63 - 1),
    "text": _or_none(_STRING),
    "reasoning": _or_none(_STRING),
    "tool_calls": _or_none(_CALLS),
    "tool_arguments": _one_of(ToolArguments),
    "tool_call_shape": _one_of(ToolCallShape),
    "tool_call_order": _one_of(ToolCallOrder),
    "text_after": _or_none(_STRING),
    "cut_after": _or_none(_integer(1, MAX_TOKENS)),
    "tokens_to_end": _integer(0, MAX_TOKENS),
    "finish_reason": _or_none(_one_of(FinishReason)),
    "fault": _or_none(_one_of(Fault)),
    "after_pieces": _integer(0, MAX_TOKENS),
    "interval_s": _number(0),
    "size_bytes": _or_none(_integer(1, MAX_SIZE_BYTES)),
    "broken_text": _or_none(_STRING),
    "status": _integer(400, 599),
    "error_code": _or_none(_STRING),
    "retry_after_s": _or_none(_number(0)),
    "write_bytes": _or_none(_integer(1, MAX_SIZE_BYTES)),
    "events_per_write": _integer(1, MAX_TOKENS),
    "line_end": _one_of(LineEnd),
    "comment_every": _or_none(_integer(1, MAX_TOKENS)),
}
assert set(_CHECKS) == {f.name for f in fields(Behaviour) if f.init}  # noqa: S101 - no field may go unchecked
