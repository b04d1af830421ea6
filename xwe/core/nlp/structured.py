"""JSON by schema: request it, extract it from the reply, validate it, and ask once for a repair.

The dialogue with the model is a generator of requests, so that the sync and the async client drive
the same logic (as httpx does with its authentication flows).
"""

import functools
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import orjson

from xwe.core.nlp.completion import Completion, Message
from xwe.errors import InvalidRequestError, StructuredReplyError

Schema = Mapping[str, Any]

# How much of its own reply the repair request shows the model.
SHOWN_BACK_CHARACTERS = 20_000
# A model corrects the first few errors; more would only confuse it.
SHOWN_ERRORS = 5

Round = tuple[Sequence[Message], Mapping[str, Any] | None]
"""The messages of a request, and its `response_format`."""


def structured_dialogue(
    messages: Sequence[Message], schema: Schema, json_mode: str
) -> Generator[Round, Completion, Any]:
    """Yield each request, receive its completion, and return the valid JSON value.

    Args:
        messages: the conversation so far.
        schema: JSON Schema of the value.
        json_mode: what the provider can enforce: "schema", "object" or "none".

    Raises:
        InvalidRequestError: `schema` is not a JSON Schema.
        StructuredReplyError: the repaired reply does not fit either.
    """
    validator = _validator(orjson.dumps(schema))
    response_format = _response_format(schema, json_mode)
    asked = [*messages, _instruction(schema)]
    completion = yield asked, response_format
    value, fault = _read(completion, validator)
    if fault is None:
        return value
    shown = completion.text[:SHOWN_BACK_CHARACTERS]
    repair = [
        *asked,
        {"role": "assistant", "content": shown or "(empty)"},
        {
            "role": "user",
            "content": f"That reply cannot be used: {fault}\n"
            "Send the whole JSON value again, corrected, and nothing else.",
        },
    ]
    completion = yield repair, response_format
    value, fault = _read(completion, validator)
    if fault is not None:
        raise StructuredReplyError(f"The model's JSON does not fit the schema: {fault[:200]}")
    return value


def _instruction(schema: Schema) -> Message:
    text = orjson.dumps(schema).decode()
    return {
        "role": "system",
        "content": "Reply with one JSON value that fits this JSON Schema, and with nothing else: "
        "no explanation, no code fence. Write its texts in the language of the conversation.\n"
        f"{text}",
    }


def _response_format(schema: Schema, json_mode: str) -> Mapping[str, Any] | None:
    if json_mode == "schema":
        return {"type": "json_schema", "json_schema": {"name": "reply", "schema": dict(schema)}}
    # "object" allows nothing but an object, so it does not suit a schema of another type.
    if json_mode == "object" and schema.get("type", "object") == "object":
        return {"type": "json_object"}
    return None


@functools.lru_cache(maxsize=64)
def _validator(schema_text: bytes) -> Any:
    # jsonschema takes 60 ms to import, and most callers never ask for JSON.
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415

    schema = orjson.loads(schema_text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise InvalidRequestError(f"not a JSON Schema: {error.message}", field="schema") from error
    return Draft202012Validator(schema)


def _read(completion: Completion, validator: Any) -> tuple[Any, str | None]:
    """The value, or what is wrong with it, in words that a model can act on."""
    if completion.finish_reason == "length":
        return None, "it was cut off by max_tokens before its end."
    try:
        value = orjson.loads(cut_out_json(completion.text))
    except orjson.JSONDecodeError as error:
        return None, f"it is not JSON ({error})."
    errors = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
    if not errors:
        return value, None
    return None, "; ".join(f"{e.json_path}: {e.message}" for e in errors[:SHOWN_ERRORS])


def cut_out_json(text: str) -> str:
    """The JSON in a reply, without the code fence or the sentences that models add around it."""
    stripped = text.strip()
    fence = stripped.find("```")
    if fence >= 0:
        body = stripped[fence + 3 :]
        end = body.rfind("```")
        body = body[:end] if end >= 0 else body
        first_line, newline, rest = body.partition("\n")
        # The first line may name the language: "```json".
        stripped = (rest if newline and first_line.strip().isalnum() else body).strip()
    if stripped[:1] in {"{", "["}:
        return stripped
    starts = [at for at in (stripped.find("{"), stripped.find("[")) if at >= 0]
    if not starts:
        return stripped
    start = min(starts)
    end = stripped.rfind("}" if stripped[start] == "{" else "]")
    return stripped[start : end + 1] if end > start else stripped
