"""Two JSON Schemas made one that asks for both, as far as their keywords can be joined."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final


def merge_schemas(first: Any, second: Any) -> Any:
    """A schema whose values are, nearly always, valid against both.

    What cannot be joined (two patterns) keeps the second's; the filler checks its values anyway.
    """
    if first is True:
        return second
    if second is True:
        return first
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return False
    merged = dict(first)
    for key, value in second.items():
        if key not in merged:
            merged[key] = value
        elif key in ("anyOf", "oneOf", "$ref", "if"):
            # Two alternatives hold at once: the second goes where all hold.
            merged["allOf"] = [*merged.get("allOf", ()), {key: value}]
        else:
            join = _JOINS.get(key)
            merged[key] = join(merged[key], value) if join is not None else value
    return merged


def _join_kinds(first: Any, second: Any) -> Any:
    ours = [first] if isinstance(first, str) else list(first)
    theirs = [second] if isinstance(second, str) else list(second)
    both = [kind for kind in ours if kind in theirs]
    if "integer" not in both and "number" in ours + theirs and "integer" in ours + theirs:
        both.append("integer")
    # An empty list is no type at all: the filler finds no way and gives up.
    return both[0] if len(both) == 1 else both


def _join_members(first: Any, second: Any) -> Any:
    return [member for member in first if member in second]


def _join_properties(first: Any, second: Any) -> Any:
    merged = dict(first)
    for name, schema in second.items():
        merged[name] = merge_schemas(merged[name], schema) if name in merged else schema
    return merged


def _join_steps(first: Any, second: Any) -> Any:
    if isinstance(first, int) and isinstance(second, int):
        return math.lcm(first, second)
    return second


def _join_lists(first: Any, second: Any) -> Any:
    return [*first, *second]


_JOINS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "type": _join_kinds,
    "enum": _join_members,
    "required": _join_lists,
    "allOf": _join_lists,
    "properties": _join_properties,
    "patternProperties": _join_properties,
    "items": merge_schemas,
    "additionalProperties": merge_schemas,
    "contains": merge_schemas,
    "multipleOf": _join_steps,
    "minimum": max,
    "exclusiveMinimum": max,
    "minLength": max,
    "minItems": max,
    "minProperties": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxLength": min,
    "maxItems": min,
    "maxProperties": min,
}
