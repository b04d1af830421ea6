"""Whether something is a JSON Schema at all."""

from functools import lru_cache
from typing import Any

import orjson
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator

_TOO_DEEP = "it is nested too deeply."


def find_schema_fault(schema: Any) -> str | None:
    """What is wrong with a schema; None when it is one."""
    try:
        return _fault_of(orjson.dumps(schema))
    except (orjson.JSONEncodeError, RecursionError):
        return _TOO_DEEP


@lru_cache(maxsize=256)
def _fault_of(encoded: bytes) -> str | None:
    # Remembered: the same tools come with every request of a conversation.
    try:
        Draft202012Validator.check_schema(orjson.loads(encoded))
    except SchemaError as error:
        return f"{error.message:.200}"
    return None
