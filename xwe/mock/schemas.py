"""JSON Schemas that come with requests."""

from functools import lru_cache
from typing import Any, Final

import orjson
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator
from referencing import Registry

_TOO_DEEP: Final = "it is nested too deeply."


def find_schema_fault(schema: Any) -> str | None:
    """What is wrong with a schema; None when it is one."""
    try:
        return _fault_of(orjson.dumps(schema))
    except (orjson.JSONEncodeError, RecursionError):
        return _TOO_DEEP


def validator_of(schema: Any) -> Draft202012Validator:
    """A validator for a schema without faults."""
    # An empty registry: a reference to another document is refused, never fetched.
    return Draft202012Validator(schema, registry=Registry())


# The same tools come with every request of a conversation.
@lru_cache(maxsize=256)
def _fault_of(encoded: bytes) -> str | None:
    try:
        Draft202012Validator.check_schema(orjson.loads(encoded))
    except SchemaError as error:
        return f"{error.message:.200}"
    return None
