"""A tool's arguments: their JSON Schema, and a call's arguments checked by it.

The schema comes from the function's signature, through pydantic, or from the tool's author.
pydantic takes a tenth of a second to import, and many processes have tools that they never call,
so it is imported when the first schema is asked for.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from xwe.core.nlp.completion import ToolCall
from xwe.core.nlp.tool_arguments import TOO_DEEP
from xwe.core.nlp.tools.signature import (
    annotation_text,
    described_arguments,
    hints_of,
    name_of,
    whole_of,
)
from xwe.errors import ToolArgumentsError
from xwe.extras import importing

Schema = dict[str, Any]

# A model corrects the first few errors; more would only confuse it.
SHOWN_ERRORS = 5

# The names may be the model's own invention, of any length.
_PLACE_CHARACTERS = 60
_MESSAGE_CHARACTERS = 200

# As much of a wrong value as the model needs to recognise it.
_ECHOED_CHARACTERS = 60

# "title" only repeats a name, and "discriminator" points into "$defs".
_NOISE = frozenset({"title", "$defs", "discriminator"})
# Values, which may look like a schema but are not one.
_DATA = frozenset({"default", "enum", "const", "examples"})
# Schemas by name: a property may be called "title", or "default".
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})


def argument_errors(errors: Sequence[tuple[str, str]]) -> ToolArgumentsError:
    """The error that tells a model what is wrong.

    Args:
        errors: the place of each error, and what is wrong there.
    """
    told = [
        f"{place[:_PLACE_CHARACTERS]}: {message[:_MESSAGE_CHARACTERS]}"
        for place, message in errors[:SHOWN_ERRORS]
    ]
    if len(errors) > SHOWN_ERRORS:
        told.append(f"and {len(errors) - SHOWN_ERRORS} more")
    return ToolArgumentsError("The arguments do not fit: " + "; ".join(told))


class SignatureArguments:
    """The arguments of a function, by its signature.

    Args:
        function: whose signature counts.
        parameters: that a model fills, from `parameters_of`.

    Raises:
        TypeError: an annotation that no schema describes.
        MissingExtraError: pydantic is not installed.
    """

    def __init__(
        self, function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
    ) -> None:
        # See the module's docstring.
        with importing("tools"):
            from pydantic import ConfigDict, Field, PydanticUserError, create_model  # noqa: PLC0415

        described = described_arguments(inspect.getdoc(whole_of(function)) or "")
        fields: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        try:
            hints = hints_of(function, parameters)
            for number, (name, parameter) in enumerate(parameters.items()):
                # Names of our own: pydantic reserves some, such as "schema".
                field = f"argument_{number}"
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                description = annotation_text(hints[name]) or described.get(name)
                fields[field] = hints[name], Field(default, alias=name, description=description)
                self._names[field] = name
            self._model = create_model(
                name_of(function), __config__=ConfigDict(extra="forbid"), **fields
            )
            self.schema = plain_schema(_schema_of(self._model))
        except (PydanticUserError, NameError) as error:
            reason = str(error).partition("\n")[0]
            name = name_of(function)
            raise TypeError(f"The tool {name} cannot be described: {reason}") from error

    def bind(self, call: ToolCall) -> dict[str, Any]:
        """The arguments that were given, as Python values.

        Raises:
            ToolArgumentsError: they do not fit; says which, and why.
        """
        from pydantic import ValidationError  # noqa: PLC0415 - as above

        try:
            # From the text: only pydantic's JSON mode knows that a date, an enum or a path comes
            # as a string, in strict types and in unions with `str`.
            bound = self._model.model_validate_json(call.arguments.strip() or "{}")
        except ValidationError as error:
            raise argument_errors(
                [self._told(one) for one in error.errors(include_url=False)]
            ) from error
        except Exception as error:  # a type's own checks are foreign code
            raise argument_errors([("arguments", f"{type(error).__name__}: {error}")]) from error
        return {self._names[field]: getattr(bound, field) for field in bound.model_fields_set}

    def _told(self, error: Any) -> tuple[str, str]:
        place = ".".join(map(str, error["loc"])) or "arguments"
        if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
            names = ", ".join(self._names.values()) or "none"
            return place, f"there is no such argument; there are: {names}"
        return place, error["msg"]


def _schema_of(model: Any) -> Schema:
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 - as above

    class Quietly(GenerateJsonSchema):
        # A default that JSON cannot express is left out; the function has it all the same.
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - the base's form

    schema: Schema = model.model_json_schema(schema_generator=Quietly)
    return schema


class GivenArguments:
    """The arguments of a function, by a schema that the tool's author has written.

    Args:
        parameters: the schema.

    Raises:
        ValueError: it is not a JSON Schema of an object, or has a reference to nothing in it.
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
        # An empty registry: the default one fetches remote references from the network.
        registry: Registry[Any] = Registry()
        resource = DRAFT202012.create_resource(self.schema)
        resolver = registry.resolver_with_root(resource)
        for reference in _references(self.schema):
            try:
                resolver.lookup(reference)
            except Unresolvable as error:
                raise ValueError(f"parameters has no {reference!r:.80} to refer to.") from error
        self._validator = Draft202012Validator(self.schema, registry=registry)

    def bind(self, call: ToolCall) -> dict[str, Any]:
        """The arguments that were given.

        Raises:
            ToolArgumentsError: they do not fit; says which, and why.
        """
        bound = dict(call.value or {})
        try:
            errors = sorted(self._validator.iter_errors(bound), key=lambda error: error.json_path)
        except RecursionError as error:
            raise ToolArgumentsError(TOO_DEEP) from error
        if errors:
            raise argument_errors([(e.json_path, _message(e)) for e in errors])
        return bound


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for key, value in node.items():
            if key not in _DATA:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _message(error: Any) -> str:
    if error.validator == "additionalProperties" and error.validator_value is False:
        names = ", ".join(error.schema.get("properties", {})) or "none"
        return f"has properties that do not exist; there are: {names}"
    # jsonschema puts the value first, then what is allowed: a long value must not hide that.
    value = repr(error.instance)
    if len(value) <= _ECHOED_CHARACTERS:
        return str(error.message)
    return str(error.message).replace(value, f"{value[:_ECHOED_CHARACTERS]}…")


def plain_schema(schema: Schema) -> Schema:
    """A schema in the form that every provider takes: no references, no meaningless titles.

    A type that contains itself keeps its references, since it cannot be written out.
    """
    inliner = _ReferenceInliner(schema.get("$defs", {}))
    result: Schema = inliner.plain(schema, ())
    definitions: Schema = {}
    while missing := inliner.recursive - definitions.keys():  # inlining one may find another
        definitions.update({name: inliner.definition(name) for name in sorted(missing)})
    if definitions:
        result["$defs"] = definitions
    result.setdefault("properties", {})
    return result


class _ReferenceInliner:
    """Replaces references by what they name, except within themselves."""

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
