"""What a chat request must be: refused here is what real providers refuse.

Each check is a generator of refusals, lazily evaluated: the first one is the answer.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from xwe.mock.protocol import Refusal
from xwe.mock.schema_check import find_schema_fault

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Which parts a message's content may have; those of the other roles are texts.
_PARTS: Final[Mapping[str, Sequence[str]]] = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}


Refusals = Iterator[Refusal]


def find_refusal(body: Mapping[str, Any]) -> Refusal | None:
    """The first thing that is wrong with a chat request; None when it is good."""
    return next(_refusals(body), None)


def _refusals(body: Mapping[str, Any]) -> Refusals:
    yield from _check_fields(body)
    yield from _check_messages(body.get("messages"))
    if body.get("tools") is not None or body.get("tool_choice") is not None:
        yield from _check_tools(body)
    if body.get("response_format") is not None:
        yield from _check_response_format(body)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _within(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    )


def _at_least_one(value: Any) -> bool:
    return _is_integer(value) and value >= 1


def _is_stop(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, list) and len(value) <= 4 and all(isinstance(s, str) for s in value)  # noqa: PLR2004 - the API's own limit


_FIELDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "temperature": (_within(0, 2), "a number from 0 to 2"),
    "top_p": (_within(0, 1), "a number from 0 to 1"),
    "presence_penalty": (_within(-2, 2), "a number from -2 to 2"),
    "frequency_penalty": (_within(-2, 2), "a number from -2 to 2"),
    "max_tokens": (_at_least_one, "an integer of at least 1"),
    "max_completion_tokens": (_at_least_one, "an integer of at least 1"),
    "n": (lambda value: _is_integer(value) and value == 1, "1: this server gives one choice"),
    "seed": (_is_integer, "an integer"),
    "stop": (_is_stop, "a string or a list of at most 4 strings"),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
    "stream_options": (lambda value: isinstance(value, dict), "an object"),
    "parallel_tool_calls": (lambda value: isinstance(value, bool), "true or false"),
    "user": (lambda value: isinstance(value, str), "a string"),
}


def _check_fields(body: Mapping[str, Any]) -> Refusals:
    model = body.get("model")
    if model is None:
        yield Refusal("You must provide a model parameter.", "model")
    if not isinstance(model, str) or not model:
        yield Refusal("model must be a non-empty string.", "model")
    for name, value in body.items():
        check = _FIELDS.get(name)
        # null means "not given", as in the official API.
        if check is not None and value is not None and not check[0](value):
            yield Refusal(f"{name} must be {check[1]}, not {value!r:.80}.", name)
    options = body.get("stream_options")
    if options is not None:
        if not body.get("stream"):
            yield Refusal("stream_options is only allowed when stream is true.", "stream_options")
        if not isinstance(options.get("include_usage", False), bool):
            yield Refusal("include_usage must be true or false.", "stream_options.include_usage")


def _check_messages(messages: Any) -> Refusals:
    if messages is None:
        yield Refusal("Missing required parameter: messages.", "messages")
    if not isinstance(messages, list):
        yield Refusal("messages must be an array.", "messages")
        return
    if not messages:
        yield Refusal("messages must hold at least one message.", "messages")
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            yield Refusal(f"{where} must be an object.", where)
        role = message.get("role")
        if role not in ROLES:
            yield Refusal(
                f"{where}.role must be one of {', '.join(ROLES)}, not {role!r:.80}.",
                f"{where}.role",
            )
        yield from _check_content(message, role, where)
        if role == "tool":
            yield from _close_call(message, open_calls, where)
            continue
        yield from _dangling(open_calls, where)
        if role == "assistant" and message.get("tool_calls") is not None:
            yield from _check_calls(message["tool_calls"], where)
            open_calls = [call["id"] for call in message["tool_calls"]]
    yield from _dangling(open_calls, "messages")


def _check_content(message: Mapping[str, Any], role: str, where: str) -> Refusals:
    content = message.get("content")
    where += ".content"
    if content is None:
        calls = role == "assistant" and message.get("tool_calls")
        if not calls:
            yield Refusal(f"{where} is required in a message of the role {role}.", where)
    elif isinstance(content, list):
        allowed = _PARTS.get(role, ("text",))
        if not content:
            yield Refusal(f"{where} must hold at least one part.", where)
        for index, part in enumerate(content):
            yield from _check_part(part, allowed, f"{where}[{index}]")
    elif not isinstance(content, str):
        yield Refusal(f"{where} must be a string or an array of parts, not {content!r:.80}.", where)


def _check_part(part: Any, allowed: Sequence[str], where: str) -> Refusals:
    if not isinstance(part, dict) or part.get("type") not in allowed:
        yield Refusal(
            f"{where} must be an object whose type is one of {', '.join(allowed)}.", where
        )
    kind = part["type"]
    kinds = str if kind in ("text", "refusal") else dict
    if not isinstance(part.get(kind), kinds):
        yield Refusal(f"{where}.{kind} is missing or of the wrong type.", f"{where}.{kind}")


def _check_calls(calls: Any, where: str) -> Refusals:
    where += ".tool_calls"
    if not isinstance(calls, list) or not calls:
        yield Refusal(f"{where} must be a non-empty array.", where)
    for index, call in enumerate(calls):
        place = f"{where}[{index}]"
        function: Any = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            yield Refusal(f"{place} must have a string id and a function.", place)
        if call.get("type", "function") != "function":
            yield Refusal(f"{place}.type must be function.", f"{place}.type")
        for key in ("name", "arguments"):
            if not isinstance(function.get(key), str):
                yield Refusal(
                    f"{place}.function.{key} must be a string.", f"{place}.function.{key}"
                )
    identities = [call["id"] for call in calls]
    if len(set(identities)) < len(identities):
        yield Refusal(f"{where} has two calls with the same id.", where)


def _close_call(message: Mapping[str, Any], open_calls: list[str], where: str) -> Refusals:
    identity: Any = message.get("tool_call_id")
    if not isinstance(identity, str):
        yield Refusal(f"{where}.tool_call_id must be a string.", f"{where}.tool_call_id")
    if identity not in open_calls:
        yield Refusal(
            f"{where} with the role 'tool' must answer a tool call, with the same id, of the "
            "assistant's message before it.",
            f"{where}.tool_call_id",
        )
    open_calls.remove(identity)


def _dangling(open_calls: list[str], where: str) -> Refusals:
    if open_calls:
        yield Refusal(
            "An assistant message with tool_calls must be followed by tool messages for each "
            f"tool_call_id; without one are: {', '.join(open_calls)}.",
            where,
        )


def _check_tools(body: Mapping[str, Any]) -> Refusals:
    tools = body.get("tools")
    if tools is not None and (not isinstance(tools, list) or not tools):
        yield Refusal("tools must be a non-empty array.", "tools")
    for index, tool in enumerate(tools or ()):
        yield from _check_tool(tool, f"tools[{index}]")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if tools is None:
        yield Refusal("tool_choice is only allowed when tools are given.", "tool_choice")
        return
    if choice in ("auto", "none", "required"):
        return
    names = [tool["function"]["name"] for tool in tools]
    function: Any = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict) or function.get("name") not in names:
        yield Refusal(
            "tool_choice must be auto, none, required or an object that names one of the tools.",
            "tool_choice",
        )


def _check_tool(tool: Any, where: str) -> Refusals:
    function: Any = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function":
        yield Refusal(f"{where} must have the type function and a function.", where)
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Refusal(
            f"{where}.function.name must be 1 to 64 letters, digits, '_' or '-'.",
            f"{where}.function.name",
        )
    if not isinstance(function.get("description", ""), str):
        yield Refusal(
            f"{where}.function.description must be a string.", f"{where}.function.description"
        )
    parameters = function.get("parameters")
    if parameters is not None:
        yield from _check_schema(parameters, f"{where}.function.parameters")


def _check_schema(schema: Any, where: str) -> Refusals:
    if not isinstance(schema, dict):
        yield Refusal(f"{where} must be an object.", where)
    fault = find_schema_fault(schema)
    if fault is not None:
        yield Refusal(f"{where} is not a JSON Schema: {fault}", where)


def _check_response_format(body: Mapping[str, Any]) -> Refusals:
    response_format = body["response_format"]
    kind: Any = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_object":
        if not any("json" in str(m.get("content")).lower() for m in body["messages"]):
            yield Refusal(
                "messages must contain the word 'json' in some form, to use response_format of "
                "the type json_object.",
                "messages",
            )
    elif kind == "json_schema":
        yield from _check_json_schema(response_format.get("json_schema"))
    elif kind != "text":
        yield Refusal(
            "response_format.type must be text, json_object or json_schema.",
            "response_format.type",
        )


def _check_json_schema(described: Any) -> Refusals:
    where = "response_format.json_schema"
    if not isinstance(described, dict):
        yield Refusal(f"Missing required parameter: {where}.", where)
    name = described.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Refusal(f"{where}.name must be 1 to 64 letters, digits, '_' or '-'.", f"{where}.name")
    yield from _check_schema(described.get("schema"), f"{where}.schema")


def find_embedding_refusal(body: Any, max_dimensions: int) -> Refusal | None:
    """The first thing that is wrong with an embeddings request; None when it is good."""
    if not isinstance(body, dict):
        return Refusal("The body is not a JSON object.")
    return next(_embedding_refusals(body, max_dimensions), None)


def _embedding_refusals(body: Mapping[str, Any], max_dimensions: int) -> Refusals:
    yield from _check_fields({"model": body.get("model")})
    given = body.get("input")
    if given is None:
        yield Refusal("Missing required parameter: input.", "input")
    items = given if isinstance(given, list) else [given]
    if not items or not (_is_texts(items) or _is_tokens(items) or all(map(_is_tokens, items))):
        yield Refusal(
            "input must be a non-empty string, a non-empty array of them, or tokens.", "input"
        )
    if body.get("encoding_format") not in (None, "float", "base64"):
        yield Refusal("encoding_format must be float or base64.", "encoding_format")
    dimensions = body.get("dimensions")
    if dimensions is not None and not (
        _is_integer(dimensions) and 1 <= dimensions <= max_dimensions
    ):
        yield Refusal(f"dimensions must be an integer from 1 to {max_dimensions}.", "dimensions")


def _is_texts(items: list[Any]) -> bool:
    return all(isinstance(item, str) and item for item in items)


def _is_tokens(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(map(_is_integer, items))
