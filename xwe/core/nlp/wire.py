"""The chat completions protocol as pure functions: requests to bytes, bytes to replies.

Providers differ in what they leave out, add and get wrong. Whatever can be understood is accepted;
anything else is a `ProviderBadReplyError`, whose message tells the shape of the reply, never its
text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from xwe.core.nlp.completion import (
    Completion,
    CompletionRequest,
    Delta,
    Message,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from xwe.core.nlp.provider_errors import error_from_object, error_from_status, title_of
from xwe.core.nlp.tool_arguments import parse_arguments
from xwe.errors import InvalidRequestError, ProviderBadReplyError

__all__ = [
    "DONE",
    "MAX_BODY_BYTES",
    "build_payload",
    "delta_from_reply",
    "error_from_status",
    "parse_delta",
    "parse_reply",
]

MAX_BODY_BYTES = 16 << 20
"""The longest reply that is read, whole or streamed."""

DONE = b"[DONE]"
"""The data of a stream's last event; some providers send none."""

# The lenient parser is about thirty times slower than orjson, so it gets short texts only.
_LENIENT_BYTES = 1 << 20

_REASON = re.compile(r"[A-Za-z_]{1,40}")

_USUAL_DELTA_FIELDS = frozenset({"role", "content", "tool_calls"})


def build_payload(request: CompletionRequest, *, stream: bool) -> bytes:
    """The request's body.

    `request.extra` overrides the other fields, and a None in it removes a field (for servers that
    refuse `stream_options`). It cannot change `stream` itself.

    Raises:
        InvalidRequestError: a value cannot be sent as JSON, or a text holds a lone surrogate and
            so is not Unicode; `field` names the field.
    """
    body: dict[str, Any] = {"model": request.model, "messages": request.messages}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.tools:
        body["tools"] = request.tools
    if request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        body["response_format"] = request.response_format
    if stream:
        body["stream_options"] = {"include_usage": True}
    if request.extra:
        body.update(request.extra)
        body = {name: value for name, value in body.items() if value is not None}
        body.pop("stream", None)
    if stream:
        body["stream"] = True
    try:
        return orjson.dumps(body, default=_plain)
    except orjson.JSONEncodeError as exc:
        raise _unsendable(body, exc) from exc


def parse_reply(body: bytes, hidden: Iterable[str] = ()) -> Completion:
    """Parse a whole reply; of several choices, the first.

    Args:
        body: of the reply.
        hidden: texts that an error must not show if the provider echoes them.

    Raises:
        ProviderBadReplyError: the reply does not follow the protocol.
        ProviderError: the reply is an error object with status 200; the error that it means.
    """
    reply = _load(body)
    if reply.get("error"):
        raise error_from_object(reply["error"], hidden=hidden)
    choice = _first(reply.get("choices"))
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ProviderBadReplyError("The provider's reply has no message.")
    text, _ = _text_of(message.get("content"))
    model = reply.get("model")
    return Completion(
        text=text,
        finish_reason=_reason(choice.get("finish_reason")),
        usage=_usage(reply.get("usage")),
        tool_calls=tuple(
            _tool_call(call, position)
            for position, call in enumerate(_list(message.get("tool_calls"), "tool calls"))
        ),
        model=model if isinstance(model, str) else "",
        message=message,
    )


def parse_delta(data: bytes, hidden: Iterable[str] = ()) -> Delta | None:
    """Parse the data of one event; None if nothing is in it (a role, a heartbeat, `[DONE]`).

    Args:
        data: of the event.
        hidden: as for `parse_reply`.

    Raises:
        ProviderBadReplyError: the event does not follow the protocol.
        ProviderError: the event is an error object; the error that it means.
    """
    if data == DONE:
        return None
    chunk = _load(data)
    choices = chunk.get("choices")
    usage = chunk.get("usage")
    if choices and usage is None and "error" not in chunk:
        # The fast path: nearly every event of a real stream is a piece of text and nothing else.
        choice = _first(choices)
        delta = choice.get("delta")
        if type(delta) is dict and choice.get("finish_reason") is None:
            text = delta.get("content")
            if type(text) is str and len(delta) == ("role" in delta) + 1:
                return _text_delta(text) if text else None
    if chunk.get("error"):
        raise error_from_object(chunk["error"], hidden=hidden)
    counted = _usage(usage)
    if not choices:
        return None if counted is None else Delta(usage=counted)
    choice = _first(choices)
    return _uncommon_delta(choice.get("delta"), _reason(choice.get("finish_reason")), counted)


def delta_from_reply(reply: Completion) -> Delta:
    """A whole reply as a stream's only delta, for servers that do not stream."""
    return Delta(
        text=reply.text,
        tool_calls=tuple(
            ToolCallDelta(index, call.id, call.name, call.arguments)
            for index, call in enumerate(reply.tool_calls)
        ),
        finish_reason=reply.finish_reason or "stop",
        usage=reply.usage,
        extra=_unusual(reply.message),
    )


# A frozen dataclass's own constructor takes three times as long, a fifth of an event's cost.
_new_delta = Delta.__new__
_set_text, _set_tool_calls, _set_finish_reason, _set_usage, _set_extra = (
    Delta.__dict__[name].__set__
    for name in ("text", "tool_calls", "finish_reason", "usage", "extra")
)


def _text_delta(text: str) -> Delta:
    delta = _new_delta(Delta)
    _set_text(delta, text)
    _set_tool_calls(delta, ())
    _set_finish_reason(delta, None)
    _set_usage(delta, None)
    _set_extra(delta, None)
    return delta


def _uncommon_delta(delta: object, reason: str | None, usage: Usage | None) -> Delta | None:
    if delta is None:
        delta = {}
    if not isinstance(delta, dict):
        raise ProviderBadReplyError("The provider's stream has a delta of the wrong type.")
    text, is_plain = _text_of(delta.get("content"))
    calls = tuple(map(_tool_call_delta, _list(delta.get("tool_calls"), "tool calls")))
    extra = _unusual(delta)
    if not is_plain:
        extra = {**(extra or {}), "content": delta["content"]}
    if not (text or calls or reason or usage or extra):
        return None
    return Delta(text, calls, reason, usage, extra)


def _load(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        value = _load_leniently(data, exc)
    if type(value) is not dict:
        raise ProviderBadReplyError(
            f"The provider's reply is JSON, but a {type(value).__name__} where an object belongs."
        )
    return value


def _load_leniently(data: bytes, refusal: ValueError) -> Any:
    """Accept what Python servers (NaN) and UTF-16 servers (half an emoji) send instead of JSON."""
    if len(data) <= _LENIENT_BYTES and data.lstrip()[:1] == b"{":
        try:
            text = json.dumps(json.loads(data.decode("utf-8", "replace")), ensure_ascii=False)
            # The two halves of a pair are joined; a lone half becomes U+FFFD.
            return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        except (ValueError, RecursionError):
            pass  # the first parser's error says more
    raise ProviderBadReplyError(_shape_of(data)) from refusal


def _shape_of(data: bytes) -> str:
    start = data[:256].lstrip()
    if not start:
        return "The provider's reply is empty."
    if start[:1] == b"<":
        title = title_of(data)
        named = f" ({title})" if title else ""
        return (
            f"The provider answered with a web page{named}, not with JSON;"
            " LLM_BASE_URL should end before /chat/completions."
        )
    return f"The provider's reply is not JSON ({len(data)} bytes)."


def _first(choices: object) -> dict[str, Any]:
    if type(choices) is not list or not choices or type(choices[0]) is not dict:
        raise ProviderBadReplyError("The provider's reply has no choices.")
    choice: dict[str, Any] = choices[0]
    return choice


def _list(value: object, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ProviderBadReplyError(f"The provider's reply has {name} of the wrong type.")
    return value


def _text_of(content: object) -> tuple[str, bool]:
    """The text, and whether it is all of the content (a list may hold other parts than text)."""
    if content is None:
        return "", True
    if isinstance(content, str):
        return content, True
    if not isinstance(content, list):
        raise ProviderBadReplyError("The provider's reply has content of the wrong type.")
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
    return "".join(texts), len(texts) == len(content)


def _usage(usage: object) -> Usage | None:
    if type(usage) is not dict or not usage:
        return None
    prompt = _count(usage.get("prompt_tokens"))
    completion = _count(usage.get("completion_tokens"))
    return Usage(prompt, completion, _count(usage.get("total_tokens")) or prompt + completion)


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _reason(value: object) -> str | None:
    """Why the reply ended; "other" for anything but a plain word, since readers are shown it."""
    reason = _word(value)
    return reason if reason is None or _REASON.fullmatch(reason) else "other"


def _tool_call(call: object, position: int) -> ToolCall:
    delta = _tool_call_delta(call)
    if not delta.name:
        raise ProviderBadReplyError("The provider's reply has a tool call without a name.")
    # Older servers leave the id out, but the tool's result must refer to one.
    call_id = delta.id or f"call_{position}"
    return ToolCall(call_id, delta.name, delta.arguments, *parse_arguments(delta.arguments))


def _tool_call_delta(call: object) -> ToolCallDelta:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not (function is None or isinstance(function, dict)):
        raise ProviderBadReplyError("The provider's reply has a tool call of the wrong type.")
    function = function or {}
    index = call.get("index")
    return ToolCallDelta(
        index=index if type(index) is int else None,
        id=_word(call.get("id")),
        name=_word(function.get("name")),
        arguments=_arguments(function.get("arguments")),
    )


def _arguments(value: object) -> str:
    if value is None:
        return ""
    # Some servers send the object itself instead of its text.
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unusual(message: Message) -> dict[str, Any] | None:
    unusual = {
        name: value
        for name, value in message.items()
        if value is not None and name not in _USUAL_DELTA_FIELDS
    }
    return unusual or None


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _unsendable(body: dict[str, Any], refusal: Exception) -> InvalidRequestError:
    for name, value in body.items():
        try:
            orjson.dumps(value, default=_plain)
        except orjson.JSONEncodeError as exc:
            return InvalidRequestError(f"{name} cannot be sent as JSON: {exc}", field=name)
    return InvalidRequestError(f"The request cannot be sent as JSON: {refusal}")
