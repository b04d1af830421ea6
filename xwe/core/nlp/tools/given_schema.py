"""Arguments checked by a JSON Schema that the tool's author has written."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from xwe.core.nlp.tools.complaint import complaint
from xwe.errors import ToolArgumentsError

# As much of a wrong value as its writer needs to know it again.
_ECHOED_CHARACTERS = 60


class GivenArguments:
    """A tool's arguments: their schema, and a call's text checked by it.

    Args:
        parameters: the schema.

    Raises:
        ValueError: it is not a JSON Schema of an object, or refers to what is not in it.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        # jsonschema takes 60 ms to import, and most tools have a signature.
        from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415
        from referencing import Registry  # noqa: PLC0415 - comes with it
        from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as above
        from referencing.jsonschema import DRAFT202012  # noqa: PLC0415 - as above

        self.schema = dict(parameters)
        try:
            Draft202012Validator.check_schema(self.schema)
        except SchemaError as error:
            raise ValueError(f"parameters is not a JSON Schema: {error.message}") from error
        if self.schema.get("type") != "object":
            raise ValueError('parameters must describe an object: "type": "object".')
        # A registry of our own: the default one fetches what a reference names from the network.
        registry: Registry[Any] = Registry()
        resource = DRAFT202012.create_resource(self.schema)
        resolver = registry.resolver_with_root(resource)
        for reference in _references(self.schema):
            try:
                resolver.lookup(reference)
            except Unresolvable as error:
                raise ValueError(f"parameters has no {reference!r:.80} to refer to.") from error
        self._validator = Draft202012Validator(self.schema, registry=registry)

    def bind(self, text: str) -> dict[str, Any]:
        """The arguments that were given.

        Raises:
            ToolArgumentsError: they do not fit; says which, and why.
        """
        try:
            value: Any = orjson.loads(text)
            errors = sorted(self._validator.iter_errors(value), key=lambda error: error.json_path)
        except orjson.JSONDecodeError as error:
            raise ToolArgumentsError(f"The arguments are not JSON: {error}.") from error
        except RecursionError as error:
            raise ToolArgumentsError("The arguments are nested too deeply.") from error
        if errors:
            raise ToolArgumentsError(complaint([(e.json_path, _message(e)) for e in errors]))
        bound: dict[str, Any] = value
        return bound


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for key, value in node.items():
            if key not in {"default", "enum", "const", "examples"}:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _message(error: Any) -> str:
    if error.validator == "additionalProperties" and error.validator_value is False:
        there = ", ".join(error.schema.get("properties", {})) or "none"
        return f"has properties that do not exist; there are: {there}"
    # The value stands first, and what is allowed after it: a long value must not hide that.
    value = repr(error.instance)
    if len(value) <= _ECHOED_CHARACTERS:
        return str(error.message)
    return str(error.message).replace(value, f"{value[:_ECHOED_CHARACTERS]}…")
