"""The demo model's answer to a chat request that has been checked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from xwe.mock.behaviour import Behaviour
from xwe.mock.demo_model.field_texts import prepared_fields
from xwe.mock.demo_model.replies import template_reply, tool_results_reply
from xwe.mock.demo_model.schema_filler import fill_schema
from xwe.mock.demo_model.tool_caller import call_id, choose_calls
from xwe.mock.demo_model.topic import Topic, asked_language, last_text, read_topic, text_of
from xwe.mock.protocol import ModelReply, ReplyToolCall
from xwe.mock.schemas import find_schema_fault, validator_of
from xwe.mock.tokens import estimate_prompt_tokens, split_tokens

# How many opening braces of a prompt are tried for a JSON object.
_MOST_BRACES: Final = 30
_KINDS: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    type(None): "null",
}


def answer(body: Mapping[str, Any], behaviour: Behaviour) -> ModelReply:
    """The reply to a chat request; the same for the same request and behaviour.

    Raises:
        InvalidRequestError: the demo model cannot fill a JSON Schema of the request.
    """
    messages: Sequence[Mapping[str, Any]] = body["messages"]
    seed = behaviour.seed + (body.get("seed") or 0)
    topic = _topic(messages)
    text, calls = behaviour.text, _scripted_calls(behaviour, seed)
    if text is None and calls is None:
        calls = _own_calls(body, messages, topic, seed)
        text = None if calls else _own_text(body, messages, topic, seed, behaviour.length)
    reply = ModelReply(
        text=text,
        finish_reason="tool_calls" if calls else "stop",
        prompt_tokens=estimate_prompt_tokens(messages),
        tool_calls=calls or (),
        text_after=behaviour.text_after,
        reasoning=behaviour.reasoning,
        has_argument_objects=behaviour.tool_arguments == "object",
    )
    reply = _limited(_stopped(reply, body.get("stop")), _token_limit(body, behaviour))
    if behaviour.fault == "no_finish_reason":
        return replace(reply, finish_reason=None)
    if behaviour.finish_reason is not None:
        return replace(reply, finish_reason=behaviour.finish_reason)
    return reply


def _topic(messages: Sequence[Mapping[str, Any]]) -> Topic:
    topic = read_topic(last_text(messages, "user"))
    system = " ".join(text_of(m.get("content")) for m in messages if m.get("role") == "system")
    asked = asked_language(system)
    return topic if asked is None else replace(topic, language=asked)


def _scripted_calls(behaviour: Behaviour, seed: int) -> tuple[ReplyToolCall, ...] | None:
    if behaviour.scripted_calls is None:
        return None
    return tuple(
        ReplyToolCall(
            call.id or call_id(index, call.name, call.arguments, seed), call.name, call.arguments
        )
        for index, call in enumerate(behaviour.scripted_calls)
    )


def _own_calls(
    body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], topic: Topic, seed: int
) -> tuple[ReplyToolCall, ...]:
    # Once there are results they are answered, unless the client insists on calls.
    if not body.get("tools"):
        return ()
    answered = bool(_tool_results(messages))
    if answered and body.get("tool_choice") in (None, "auto"):
        return ()
    return choose_calls(body, topic, seed)


def _own_text(
    body: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    topic: Topic,
    seed: int,
    length: int | None,
) -> str:
    response_format = body.get("response_format") or {"type": "text"}
    if response_format["type"] == "json_schema":
        schema = response_format["json_schema"]["schema"]
        return _json(schema, topic, seed, field="response_format.json_schema.schema")
    if response_format["type"] == "json_object":
        # Like the schema or the example that the prompt shows, where it shows one.
        shown = next(_shown_objects(messages), {"reply": ""})
        schema = shown if _is_schema(shown) else _schema_of(shown)
        return _json(schema, topic, seed, field="messages")
    results = _tool_results(messages)
    if results:
        return tool_results_reply(results, topic.message, seed, length)
    return template_reply(messages, seed, length)


def _json(schema: Mapping[str, Any], topic: Topic, seed: int, *, field: str) -> str:
    value = prepared_fields(schema, topic)
    if value is None or not validator_of(schema).is_valid(value):
        value = fill_schema(schema, topic, seed, field=field)
    return json.dumps(value, ensure_ascii=False)


def _shown_objects(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    for message in reversed(messages):
        text = text_of(message.get("content"))
        at = text.find("{")
        for _ in range(_MOST_BRACES):
            if at < 0:
                break
            try:
                value, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                end = at + 1
            else:
                yield value
            at = text.find("{", end)


def _is_schema(value: Mapping[str, Any]) -> bool:
    described = value.get("type") == "object" or "$ref" in value or "properties" in value
    return described and find_schema_fault(value) is None


def _schema_of(example: Any) -> dict[str, Any]:
    """A schema for values like the example."""
    match example:
        case dict():
            parts = {key: _schema_of(value) for key, value in example.items()}
            return {"type": "object", "properties": parts, "required": list(parts)}
        case [first, *_]:
            return {"type": "array", "items": _schema_of(first), "minItems": 1}
    return {"type": _KINDS.get(type(example), "string")}


def _tool_results(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The names and results of the tools called since the user last spoke."""
    names: dict[str, str] = {}
    results: list[tuple[str, str]] = []
    for message in messages:
        if message.get("role") == "user":
            results.clear()
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if message.get("role") == "tool":
            name = names.get(message["tool_call_id"], "tool")
            results.append((name, _readable(text_of(message.get("content")))))
    return results


def _readable(result: str) -> str:
    """A tool's JSON as a person would write it; other text as it is."""
    try:
        value = json.loads(result)
    except ValueError:
        return result
    if isinstance(value, dict):
        return "; ".join(
            f"{key}: {part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)}"
            for key, part in value.items()
        )
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _token_limit(body: Mapping[str, Any], behaviour: Behaviour) -> int | None:
    limits = [body.get("max_tokens"), body.get("max_completion_tokens"), behaviour.cut_after]
    return min((limit for limit in limits if limit is not None), default=None)


def _stopped(reply: ModelReply, stop: str | Sequence[str] | None) -> ModelReply:
    if not stop or not (reply.text or reply.text_after):
        return reply
    words = [stop] if isinstance(stop, str) else stop
    return replace(
        reply, text=_until(reply.text, words), text_after=_until(reply.text_after, words)
    )


def _until(text: str | None, words: Sequence[str]) -> str | None:
    if text is None:
        return None
    for word in words:
        text = text.split(word, 1)[0] if word else text
    return text


def _limited(reply: ModelReply, limit: int | None) -> ModelReply:
    """The reply cut to `limit` tokens, in the middle of a tool call's arguments too."""
    if limit is None:
        return reply
    left = limit

    def take(part: str) -> str:
        nonlocal left
        tokens = split_tokens(part)
        kept = "".join(tokens[: max(left, 0)])
        left -= len(tokens)
        return kept

    text = take(reply.text) if reply.text else reply.text
    calls = []
    for call in reply.tool_calls:
        if left <= 0:
            left = -1  # what was to come is cut off
            break
        calls.append(replace(call, arguments=take(call.arguments)))
    after = take(reply.text_after) or None if reply.text_after else reply.text_after
    if left >= 0:
        return reply
    return replace(
        reply, text=text, tool_calls=tuple(calls), text_after=after, finish_reason="length"
    )
