"""JSON Schema as every provider takes it."""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

# "title" only repeats a name, and "discriminator" points into "$defs".
_NOISE = frozenset({"title", "$defs", "discriminator"})
# Values, which may look like a schema and are none.
_DATA = frozenset({"default", "enum", "const", "examples"})
# Schemas by name: a property may be called "title", or "default".
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})


def plain_schema(schema: Schema) -> Schema:
    """A schema without what providers stumble over: references, and titles that say nothing.

    A type that contains itself keeps its references, since it cannot be written out.
    """
    writer = _Writer(schema.get("$defs", {}))
    result: Schema = writer.plain(schema, ())
    definitions: Schema = {}
    while missing := writer.recursive - definitions.keys():  # writing one out may find another
        definitions.update({name: writer.definition(name) for name in sorted(missing)})
    if definitions:
        result["$defs"] = definitions
    result.setdefault("properties", {})
    return result


class _Writer:
    """Writes out what references name, except within itself."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self.recursive: set[str] = set()

    def definition(self, name: str) -> Any:
        return self.plain(self._definitions[name], (name,))

    def plain(self, node: Any, above: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [self.plain(item, above) for item in node]
        if not isinstance(node, dict):
            return node
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name in above:
            self.recursive.add(name)
            return node
        if name in self._definitions:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return self.plain({**self._definitions[name], **rest}, (*above, name))
        kept = {key: value for key, value in node.items() if key not in _NOISE}
        return {key: self._value(key, value, above) for key, value in kept.items()}

    def _value(self, key: str, value: Any, above: tuple[str, ...]) -> Any:
        if key in _DATA:
            return value
        if key in _NAMED:
            return {name: self.plain(named, above) for name, named in value.items()}
        return self.plain(value, above)
