"""What a function takes, as JSON Schema, and a call's arguments checked by it.

pydantic does both. It takes a tenth of a second to import, and many a process has tools that it
never calls: so it is imported when the first schema is asked for.
"""

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from xwe.core.nlp.tools.complaint import complaint
from xwe.core.nlp.tools.plain_schema import plain_schema
from xwe.core.nlp.tools.progress import Progress
from xwe.errors import ToolArgumentsError

_UNUSABLE = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional only",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values",
    inspect.Parameter.VAR_KEYWORD: "takes any names",
}
# "Args:" of a docstring, up to the next section; then "name: text" or "name (type): text".
_ARGS = re.compile(r"^[ \t]*Args:[ \t]*\n(?P<body>(?:[ \t]*\n|[ \t]+.*\n?)*)", re.MULTILINE)
_ENTRY = re.compile(r"^(?P<name>\w+)(?:\s*\([^)]*\))?:\s*(?P<text>.*)$")


def parameters_of(function: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], str | None]:
    """The parameters that a model fills, and the name of the one that takes a `Progress`.

    Raises:
        TypeError: a parameter that no model can fill; names it.
    """
    usable: dict[str, inspect.Parameter] = {}
    progress = None
    # What a partial has filled in is not for the model to see: it may be a key.
    filled = function.keywords if isinstance(function, functools.partial) else {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in filled:
            continue
        if name == "self":
            raise _unusable(function, name, "is missing; make the tool of an object's method")
        if parameter.kind in _UNUSABLE:
            raise _unusable(function, name, _UNUSABLE[parameter.kind])
        if is_progress(parameter.annotation):
            progress = name
        elif parameter.annotation is inspect.Parameter.empty:
            raise _unusable(function, name, "has no annotation, which says what it takes")
        else:
            usable[name] = parameter
    return usable, progress


def is_progress(annotation: Any) -> bool:
    """Whether a parameter takes a `Progress`, or may."""
    if isinstance(annotation, str):  # as written, since it is not evaluated yet
        choices = (choice.strip() for choice in annotation.split("|"))
        return any(choice.rpartition(".")[2] == "Progress" for choice in choices)
    return annotation is Progress or Progress in typing.get_args(annotation)


def _unusable(function: Callable[..., Any], name: str, why: str) -> TypeError:
    return TypeError(f"The tool {name_of(function)} cannot be described: {name} {why}.")


def whole_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of which a partial is one."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """The function's name, or the class's of an object that is called."""
    function = whole_of(function)
    return getattr(function, "__name__", type(function).__name__)


class SignatureArguments:
    """The arguments of a function: their schema, and a call's text checked by it.

    Args:
        function: whose signature counts.
        parameters: that a model fills, from `parameters_of`.

    Raises:
        TypeError: an annotation that no schema describes.
    """

    def __init__(
        self, function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
    ) -> None:
        # See the module's docstring.
        from pydantic import ConfigDict, Field, PydanticUserError, create_model  # noqa: PLC0415

        described = described_arguments(inspect.getdoc(whole_of(function)) or "")
        fields: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        try:
            hints = _hints(function, parameters)
            for number, (name, parameter) in enumerate(parameters.items()):
                # Names of our own: pydantic keeps some, such as "schema", for itself.
                field = f"argument_{number}"
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                description = _noted(hints[name]) or described.get(name)
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

    def bind(self, text: str) -> dict[str, Any]:
        """The arguments that were given, as Python values.

        Raises:
            ToolArgumentsError: they do not fit; says which, and why.
        """
        from pydantic import ValidationError  # noqa: PLC0415 - as above

        try:
            bound = self._model.model_validate_json(text)
        except ValidationError as error:
            wrong = [self._told(one) for one in error.errors(include_url=False)]
            raise ToolArgumentsError(complaint(wrong)) from error
        except Exception as error:  # a type's own checks are foreign code
            wrong = [("arguments", f"{type(error).__name__}: {error}")]
            raise ToolArgumentsError(complaint(wrong)) from error
        return {self._names[field]: getattr(bound, field) for field in bound.model_fields_set}

    def _told(self, error: Any) -> tuple[str, str]:
        place = ".".join(map(str, error["loc"])) or "arguments"
        if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
            there = ", ".join(self._names.values()) or "none"
            return place, f"there is no such argument; there are: {there}"
        return place, error["msg"]


def _schema_of(model: Any) -> dict[str, Any]:
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 - as above

    class Quietly(GenerateJsonSchema):
        # A default that JSON cannot say is left out; the function has it all the same.
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - the base's form

    schema: dict[str, Any] = model.model_json_schema(schema_generator=Quietly)
    return schema


def _noted(hint: Any) -> str | None:
    """The text in `Annotated[str, "what it is"]`, or in `Annotated[str, Field(description=…)]`."""
    for note in getattr(hint, "__metadata__", ()):
        text = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(text, str):
            return text
    return None


def _hints(
    function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """The parameters' types; what the function returns may be known to type checkers only."""
    function = inspect.unwrap(whole_of(function))
    if inspect.isclass(function):
        function = function.__init__
    elif not inspect.isroutine(function):  # an object that is called
        function = type(function).__call__
    annotations = {name: parameter.annotation for name, parameter in parameters.items()}
    return typing.get_type_hints(
        types.SimpleNamespace(__annotations__=annotations),
        globalns=getattr(function, "__globals__", {}),
        include_extras=True,
    )


def described_arguments(docstring: str) -> dict[str, str]:
    """What a Google-style docstring says of the arguments."""
    section = _ARGS.search(docstring)
    if section is None:
        return {}
    described: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc("\n" + section["body"]).splitlines():
        entry = None if line.startswith((" ", "\t")) else _ENTRY.match(line)
        if entry is not None:
            name = entry["name"]
            described[name] = entry["text"].strip()
        elif name and line.strip():
            described[name] = f"{described[name]} {line.strip()}".lstrip()
    return described
