"""A function as its tool describes it: its name, its parameters, their types and descriptions."""

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from xwe.core.nlp.tools.progress import Progress

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
        TypeError: a parameter that no model can fill, with its name.
    """
    usable: dict[str, inspect.Parameter] = {}
    progress = None
    # The model must not see what a partial has filled in: it may be a key.
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
    if isinstance(annotation, str):  # as written, not evaluated yet
        choices = (choice.strip() for choice in annotation.split("|"))
        return any(choice.rpartition(".")[2] == "Progress" for choice in choices)
    return annotation is Progress or Progress in typing.get_args(annotation)


def _unusable(function: Callable[..., Any], name: str, why: str) -> TypeError:
    return TypeError(f"The tool {name_of(function)} cannot be described: {name} {why}.")


def whole_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside a partial."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """The function's name; of a callable object, its class's."""
    function = whole_of(function)
    return getattr(function, "__name__", type(function).__name__)


def annotation_text(hint: Any) -> str | None:
    """The text of `Annotated[str, "what it is"]` or `Annotated[str, Field(description=…)]`."""
    for note in getattr(hint, "__metadata__", ()):
        text = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(text, str):
            return text
    return None


def hints_of(
    function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """The parameters' types; the return type is ignored, as only type checkers may know it."""
    function = inspect.unwrap(whole_of(function))
    if inspect.isclass(function):
        function = function.__init__
    elif not inspect.isroutine(function):  # a callable object
        function = type(function).__call__
    annotations = {name: parameter.annotation for name, parameter in parameters.items()}
    return typing.get_type_hints(
        types.SimpleNamespace(__annotations__=annotations),
        globalns=getattr(function, "__globals__", {}),
        include_extras=True,
    )


def described_arguments(docstring: str) -> dict[str, str]:
    """The descriptions in the "Args:" of a Google-style docstring, by name."""
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
