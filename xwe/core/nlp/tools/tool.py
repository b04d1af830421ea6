"""A tool: a function that the model may call, and what is needed to run it safely."""

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property
from typing import Any, Generic, Literal, ParamSpec, TypeVar, get_args, overload

import orjson

from xwe.core.nlp.completion import ToolCall
from xwe.core.nlp.tool_arguments import parse_arguments
from xwe.core.nlp.tools.arguments import GivenArguments, Schema, SignatureArguments
from xwe.core.nlp.tools.signature import is_progress, name_of, parameters_of, whole_of
from xwe.errors import ToolArgumentsError

P = ParamSpec("P")
R = TypeVar("R")

Effect = Literal["read_only", "idempotent", "side_effect"]
"""What a run changes: nothing, the same however often it runs, or something each time."""

OnResult = Literal["interrupt", "when_idle", "silent"]
"""What a result does: cut off what the model says, wait until it has finished, or neither."""

DEFAULT_TIMEOUT_S = 30.0

# More does not help the model, and every character costs tokens.
MAX_RESULT_CHARACTERS = 50_000

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tool(Generic[P, R]):
    """A function with a description for the model; still called like the function.

    Args:
        function: a plain function runs in a pool, an `async def` on the loop.
        name: the function's unless given.
        description: the docstring's first paragraph unless given.
        effect: see `Effect`. A "side_effect" waits until the model has finished its answer, and
            never runs twice for one call.
        timeout_s: the time limit of a run, in seconds.
        on_result: see `OnResult`.
        parameters: JSON Schema of the arguments, instead of the signature's.

    Raises:
        TypeError: a parameter that no model can fill.
        ValueError: an unusable name, effect, result policy, timeout or schema.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        effect: Effect = "side_effect",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        on_result: OnResult = "interrupt",
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.name = name or name_of(function)
        self.description = _first_paragraph(function) if description is None else description
        self.effect = effect
        self.timeout_s = timeout_s
        self.on_result = on_result
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"A tool's name is 1 to 64 of A-Z a-z 0-9 _ -, not {self.name!r:.80}.")
        _check_one_of("effect", effect, Effect)
        _check_one_of("on_result", on_result, OnResult)
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be more than 0, not {timeout_s!r:.40}.")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"The tool {self.name} yields; a tool returns its result.")
        self._given = None if parameters is None else GivenArguments(parameters)
        if parameters is None:
            self._parameters, self.progress_parameter = parameters_of(function)
        else:
            self._parameters, self.progress_parameter = {}, _progress_of(function)
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name} ({self.effect})>"

    @property
    def is_async(self) -> bool:
        """Whether it runs on the loop."""
        function = self.function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with `async def __call__`
        )

    @cached_property
    def _arguments(self) -> SignatureArguments | GivenArguments:
        return self._given or SignatureArguments(self.function, self._parameters)

    @property
    def parameters(self) -> Schema:
        """JSON Schema of its arguments."""
        return self._arguments.schema

    def on_wire(self) -> dict[str, Any]:
        """Its description as a request holds it."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    def bind(self, call: ToolCall | str) -> Mapping[str, Any]:
        """A call's arguments, checked and as Python values.

        Args:
            call: the call, or the JSON text of its arguments; "" for none.

        Raises:
            ToolArgumentsError: they do not fit; its message tells a model how to correct them.
        """
        if isinstance(call, str):
            call = ToolCall("", self.name, call, *parse_arguments(call))
        if call.value is None:
            raise ToolArgumentsError(call.fault)
        return self._arguments.bind(call)


AnyTool = Tool[..., Any]
"""A tool with any function."""


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(whole_of(function)) or "").partition("\n\n")[0].split())


def _check_one_of(field: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{field} must be one of {', '.join(get_args(choices))}, not {value!r}.")


def _progress_of(function: Callable[..., Any]) -> str | None:
    parameters = inspect.signature(function).parameters.items()
    return next((name for name, taken in parameters if is_progress(taken.annotation)), None)


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "side_effect",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    on_result: OnResult = "interrupt",
    parameters: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a tool: `@tool`, or `@tool(effect="read_only", …)`; see `Tool`."""
    if function is not None:
        return Tool(function)
    return lambda decorated: Tool(decorated, **options)


def result_text(value: Any) -> str:
    """A result as the model is told it: text as it is, everything else as JSON."""
    text = _unicode(value if isinstance(value, str) else _json(value))
    if len(text) <= MAX_RESULT_CHARACTERS:
        return text
    left_out = len(text) - MAX_RESULT_CHARACTERS
    return f"{text[:MAX_RESULT_CHARACTERS]}\n[{left_out} more characters were left out]"


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a number beyond 64 bits, a cycle, a text that is not Unicode
        return _json_of_the_unusual(value)


def _json_of_the_unusual(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return str(value)  # the tool has run, so a poor text is better than a failure


def _unicode(text: str) -> str:
    """The text with halves of emoji joined or replaced, as no request can carry one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset | tuple):
        return sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
