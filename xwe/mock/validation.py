"""What a request must be: what real providers refuse is refused here.

Each check is a generator of refusals, lazily evaluated: the first one is the answer.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from xwe.mock.protocol import ErrorReply
from xwe.mock.schemas import find_schema_fault

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME_RULE: Final = "must be 1 to 64 letters, digits, '_' or '-'."
# Which parts a message's content may have; those of the other roles are texts.
_PARTS: Final[Mapping[str, Sequence[str]]] = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}
_MOST_STOPS: Final = 4  # the API's own limit

Refusals = Iterator[ErrorReply]


def find_refusal(body: Mapping[str, Any]) -> ErrorReply | None:
    """The first thing that is wrong with a chat request; None when it is good."""
    return next(_refusals(body), None)


def _refusals(body: Mapping[str, Any]) -> Refusals:
    yield from _check_fields(body)
    yield from _check_messages(body.get("messages"))
    if body.get("tools") is not None or body.get("tool_choice") is not None:
        yield from _check_tools(body)
    if body.get("response_format") is not None:
        yield from _check_response_format(body)


def _wrong(where: str, problem: str) -> ErrorReply:
    return ErrorReply(f"{where} {problem}", where)


def _missing(where: str) -> ErrorReply:
    return ErrorReply(f"Missing required parameter: {where}.", where)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_named(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _within(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    )


def _at_least_one(value: Any) -> bool:
    return _is_integer(value) and value >= 1


def _is_stop(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST_STOPS and all(isinstance(s, str) for s in value)
    return isinstance(value, str)


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
        yield ErrorReply("You must provide a model parameter.", "model")
    if not isinstance(model, str) or not model:
        yield _wrong("model", "must be a non-empty string.")
    for name, value in body.items():
        check = _FIELDS.get(name)
        # null means "not given", as in the official API.
        if check is not None and value is not None and not check[0](value):
            yield _wrong(name, f"must be {check[1]}, not {value!r:.80}.")
    options = body.get("stream_options")
    if options is not None:
        if not body.get("stream"):
            yield _wrong("stream_options", "is only allowed when stream is true.")
        if not isinstance(options.get("include_usage", False), bool):
            where = "stream_options.include_usage"
            yield ErrorReply("include_usage must be true or false.", where)


def _check_messages(messages: Any) -> Refusals:
    if messages is None:
        yield _missing("messages")
    if not isinstance(messages, list):
        yield _wrong("messages", "must be an array.")
        return
    if not messages:
        yield _wrong("messages", "must hold at least one message.")
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            yield _wrong(where, "must be an object.")
        role = message.get("role")
        if role not in ROLES:
            yield _wrong(f"{where}.role", f"must be one of {', '.join(ROLES)}, not {role!r:.80}.")
        yield from _check_content(message, role, f"{where}.content")
        if role == "tool":
            yield from _close_call(message, open_calls, where)
            continue
        yield from _dangling(open_calls, where)
        if role == "assistant" and message.get("tool_calls") is not None:
            yield from _check_calls(message["tool_calls"], f"{where}.tool_calls")
            open_calls = [call["id"] for call in message["tool_calls"]]
    yield from _dangling(open_calls, "messages")


def _check_content(message: Mapping[str, Any], role: str, where: str) -> Refusals:
    content = message.get("content")
    if content is None:
        if role != "assistant" or not message.get("tool_calls"):
            yield _wrong(where, f"is required in a message of the role {role}.")
    elif isinstance(content, list):
        if not content:
            yield _wrong(where, "must hold at least one part.")
        allowed = _PARTS.get(role, ("text",))
        for index, part in enumerate(content):
            yield from _check_part(part, allowed, f"{where}[{index}]")
    elif not isinstance(content, str):
        yield _wrong(where, f"must be a string or an array of parts, not {content!r:.80}.")


def _check_part(part: Any, allowed: Sequence[str], where: str) -> Refusals:
    if not isinstance(part, dict) or part.get("type") not in allowed:
        yield _wrong(where, f"must be an object whose type is one of {', '.join(allowed)}.")
    kind = part["type"]
    if not isinstance(part.get(kind), str if kind in ("text", "refusal") else dict):
        yield _wrong(f"{where}.{kind}", "is missing or of the wrong type.")


def _check_calls(calls: Any, where: str) -> Refusals:
    if not isinstance(calls, list) or not calls:
        yield _wrong(where, "must be a non-empty array.")
    for index, call in enumerate(calls):
        place = f"{where}[{index}]"
        function: Any = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            yield _wrong(place, "must have a string id and a function.")
        if call.get("type", "function") != "function":
            yield _wrong(f"{place}.type", "must be function.")
        for key in ("name", "arguments"):
            if not isinstance(function.get(key), str):
                yield _wrong(f"{place}.function.{key}", "must be a string.")
    identities = [call["id"] for call in calls]
    if len(set(identities)) < len(identities):
        yield _wrong(where, "has two calls with the same id.")


def _close_call(message: Mapping[str, Any], open_calls: list[str], where: str) -> Refusals:
    identity: Any = message.get("tool_call_id")
    if not isinstance(identity, str):
        yield _wrong(f"{where}.tool_call_id", "must be a string.")
    if identity not in open_calls:
        yield ErrorReply(
            f"{where} with the role 'tool' must answer a tool call, with the same id, of the "
            "assistant's message before it.",
            f"{where}.tool_call_id",
        )
    open_calls.remove(identity)


def _dangling(open_calls: list[str], where: str) -> Refusals:
    if open_calls:
        yield ErrorReply(
            "An assistant message with tool_calls must be followed by tool messages for each "
            f"tool_call_id; without one are: {', '.join(open_calls)}.",
            where,
        )


def _check_tools(body: Mapping[str, Any]) -> Refusals:
    tools = body.get("tools")
    if tools is not None and (not isinstance(tools, list) or not tools):
        yield _wrong("tools", "must be a non-empty array.")
    for index, tool in enumerate(tools or ()):
        yield from _check_tool(tool, f"tools[{index}]")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if tools is None:
        yield _wrong("tool_choice", "is only allowed when tools are given.")
        return
    if choice in ("auto", "none", "required"):
        return
    names = [tool["function"]["name"] for tool in tools]
    function: Any = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict) or function.get("name") not in names:
        yield _wrong(
            "tool_choice",
            "must be auto, none, required or an object that names one of the tools.",
        )


def _check_tool(tool: Any, where: str) -> Refusals:
    function: Any = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function":
        yield _wrong(where, "must have the type function and a function.")
    where += ".function"
    if not _is_named(function.get("name")):
        yield _wrong(f"{where}.name", _NAME_RULE)
    if not isinstance(function.get("description", ""), str):
        yield _wrong(f"{where}.description", "must be a string.")
    parameters = function.get("parameters")
    if parameters is not None:
        yield from _check_schema(parameters, f"{where}.parameters")


def _check_schema(schema: Any, where: str) -> Refusals:
    if not isinstance(schema, dict):
        yield _wrong(where, "must be an object.")
    fault = find_schema_fault(schema)
    if fault is not None:
        yield _wrong(where, f"is not a JSON Schema: {fault}")


def _check_response_format(body: Mapping[str, Any]) -> Refusals:
    response_format = body["response_format"]
    kind: Any = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_object":
        if not any("json" in str(m.get("content")).lower() for m in body["messages"]):
            yield _wrong(
                "messages",
                "must contain the word 'json' in some form, to use response_format of the type "
                "json_object.",
            )
    elif kind == "json_schema":
        yield from _check_json_schema(response_format.get("json_schema"))
    elif kind != "text":
        yield _wrong("response_format.type", "must be text, json_object or json_schema.")


def _check_json_schema(described: Any) -> Refusals:
    where = "response_format.json_schema"
    if not isinstance(described, dict):
        yield _missing(where)
    if not _is_named(described.get("name")):
        yield _wrong(f"{where}.name", _NAME_RULE)
    yield from _check_schema(described.get("schema"), f"{where}.schema")


def find_embedding_refusal(body: Any, max_dimensions: int) -> ErrorReply | None:
    """The first thing that is wrong with an embeddings request; None when it is good."""
    if not isinstance(body, dict):
        return ErrorReply("The body is not a JSON object.")
    return next(_embedding_refusals(body, max_dimensions), None)


def _embedding_refusals(body: Mapping[str, Any], max_dimensions: int) -> Refusals:
    yield from _check_fields({"model": body.get("model")})
    given = body.get("input")
    if given is None:
        yield _missing("input")
    items = given if isinstance(given, list) else [given]
    is_texts = all(isinstance(item, str) and item for item in items)
    if not items or not (is_texts or _is_tokens(items) or all(map(_is_tokens, items))):
        yield _wrong("input", "must be a non-empty string, a non-empty array of them, or tokens.")
    if body.get("encoding_format") not in (None, "float", "base64"):
        yield _wrong("encoding_format", "must be float or base64.")
    wanted = body.get("dimensions")
    if wanted is not None and not (_is_integer(wanted) and 1 <= wanted <= max_dimensions):
        yield _wrong("dimensions", f"must be an integer from 1 to {max_dimensions}.")


def _is_tokens(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(map(_is_integer, items))
