"""Which tools the demo model calls, and with which arguments."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from xwe.mock.demo_model.schema_filler import fill_schema
from xwe.mock.demo_model.topic import Topic
from xwe.mock.demo_model.vocabulary import vocabulary
from xwe.mock.protocol import ReplyToolCall
from xwe.mock.schemas import validator_of

_MOST_CALLS: Final = 4
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_HAN_RUN: Final = re.compile(r"[㐀-鿿]{2,}")
_SHORTEST_WORD: Final = 3

_PLACE_KEY: Final = re.compile(
    r"city|town|location|place|destination|region|城市|地点|地区", re.IGNORECASE
)
_WHOLE_KEY: Final = re.compile(
    r"^(q|query|question|message|prompt|input|keywords?|topic|text|content|查询|问题|关键词|内容)$",
    re.IGNORECASE,
)
# By a parameter's name, what its argument looks like in the message.
_SHAPES: Final = tuple(
    (re.compile(names, re.IGNORECASE), re.compile(shape))
    for names, shape in (
        ("expression|formula|算式|表达式", r"[\d(][\d\s.+\-*/×÷()^%]*[\d)]"),
        ("date|day|日期", r"\d{4}-\d{2}-\d{2}"),
        ("url|link|email|网址|邮箱", r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+"),
    )
)
# As JSON writes them, and not longer than anybody means.
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?")


def choose_calls(body: Mapping[str, Any], topic: Topic, seed: int) -> tuple[ReplyToolCall, ...]:
    """The calls that a chat request asks for; none where it does not.

    Raises:
        InvalidRequestError: the demo model cannot fill a tool's parameters.
    """
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return ()
    if isinstance(choice, dict):
        chosen = [choice["function"]["name"]]
    else:
        chosen = [name for name, tool in tools.items() if _is_meant(tool, topic)]
        if not chosen and choice == "required":
            chosen = [next(iter(tools))]
    calls = [
        (name, arguments)
        for name in chosen
        for arguments in _argument_sets(tools[name].get("parameters") or {}, topic, seed)
    ]
    most = 1 if body.get("parallel_tool_calls") is False else _MOST_CALLS
    return tuple(
        ReplyToolCall(call_id(index, name, arguments, seed), name, arguments)
        for index, (name, arguments) in enumerate(calls[:most])
    )


def call_id(index: int, name: str, arguments: str, seed: int) -> str:
    """An id in the usual shape, the same for the same call at the same place."""
    digest = hashlib.sha256(f"{seed}:{index}:{name}:{arguments}".encode(errors="replace"))
    return f"call_{digest.hexdigest()[:24]}"


def _is_meant(tool: Mapping[str, Any], topic: Topic) -> bool:
    """Whether the message has a word in common with the tool's description of itself."""
    properties = (tool.get("parameters") or {}).get("properties", {})
    parameters = (str(p.get("description", "")) for p in properties.values() if isinstance(p, dict))
    described = " ".join([tool["name"], tool.get("description", ""), *properties, *parameters])
    tool_words, message_words = _words(described), _words(topic.message)
    return bool(tool_words & message_words) or any(
        (english in tool_words and re.search(chinese, topic.message))
        or (english in message_words and re.search(chinese, described))
        for english, chinese in vocabulary().same_thing.items()
    )


def _words(text: str) -> set[str]:
    words = {word.lower().removesuffix("s") for word in _WORD.findall(text)}
    words = {word for word in words if len(word) >= _SHORTEST_WORD}
    for run in _HAN_RUN.findall(text):
        words.update(run[at : at + 2] for at in range(len(run) - 1))
    return words - vocabulary().common


def _argument_sets(schema: Mapping[str, Any], topic: Topic, seed: int) -> Iterator[str]:
    """Arguments for one call, or one call for each place that the message names."""
    by_place = any(_PLACE_KEY.search(key) for key in schema.get("properties", {}))
    topics = [replace(topic, places=(place,)) for place in topic.places] if by_place else []
    for one in topics or [topic]:
        yield json.dumps(_arguments(schema, one, seed), ensure_ascii=False)


def _arguments(schema: Mapping[str, Any], topic: Topic, seed: int) -> dict[str, Any]:
    """What is required, and what the message says about the rest."""
    filled = fill_schema(schema, topic, seed, field="tools") if schema else {}
    if not isinstance(filled, dict):
        return {}
    validator = validator_of(schema)
    said = {}
    for key, hint in _hints(schema.get("properties", {}), topic):
        if validator.is_valid(filled | {key: hint}):
            filled[key] = said[key] = hint
    required = schema.get("required", ())
    kept = {key: value for key, value in filled.items() if key in required or key in said}
    return kept if kept and validator.is_valid(kept) else filled


def _hints(properties: Mapping[str, Any], topic: Topic) -> Iterator[tuple[str, Any]]:
    """What the message itself says about the parameters."""
    numbers = iter(_NUMBER.findall(topic.message))
    quoted = iter(topic.quoted)
    for key, schema in properties.items():
        kind = schema.get("type") if isinstance(schema, dict) else None
        hint: Any = None
        if kind in ("integer", "number"):
            number = next(numbers, None)
            hint = json.loads(number) if number else None
        elif kind == "string" and "enum" not in schema:
            hint = _text_hint(key, topic, quoted)
        elif kind == "string":
            members = (m for m in schema["enum"] if isinstance(m, str) and m in topic.message)
            hint = next(members, None)
        if hint is not None:
            yield key, hint


def _text_hint(key: str, topic: Topic, quoted: Iterator[str]) -> str | None:
    if _PLACE_KEY.search(key):
        return topic.places[0] if topic.places else None
    for names, shape in _SHAPES:
        if names.search(key):
            found = shape.search(topic.message)
            return found[0].strip() if found else None
    if _WHOLE_KEY.match(key):
        return next(quoted, None) or topic.message.strip()
    return next(quoted, None)
