"""The tools that a model may call, by name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from xwe.core.nlp.tools.tool import AnyTool, Tool
from xwe.errors import InvalidRequestError


class ToolRegistry:
    """Tools in the order in which they were added.

    Args:
        tools: tools, or functions, which become tools as with `@tool`.

    Raises:
        ValueError: two have the same name.
    """

    def __init__(self, tools: Iterable[AnyTool | Callable[..., Any]] = ()) -> None:
        self._tools: dict[str, AnyTool] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: AnyTool | Callable[..., Any]) -> AnyTool:
        """Add a tool and return it.

        Raises:
            ValueError: there is a tool of that name.
        """
        added = tool if isinstance(tool, Tool) else Tool(tool)
        if added.name in self._tools:
            raise ValueError(f"There is a tool named {added.name} already.")
        self._tools[added.name] = added
        return added

    def tool(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Decorator that adds a function as a tool, used bare or with `Tool`'s options."""
        if function is not None:
            return self.add(Tool(function, **options))
        return lambda decorated: self.add(Tool(decorated, **options))

    def get(self, name: str) -> AnyTool | None:
        """The tool of this name; None if there is none."""
        return self._tools.get(name)

    def select(self, names: Sequence[str] | None) -> "ToolRegistry":
        """The tools with these names; all of them for None.

        Raises:
            InvalidRequestError: there is no tool of one of the names.
        """
        if names is None:
            return self
        unknown = [name for name in names if name not in self._tools]
        if unknown:
            known = ", ".join(self._tools) or "none"
            raise InvalidRequestError(
                f"tools: there is no {unknown[0]!r:.80}; there are {known}.", field="tools"
            )
        return ToolRegistry(self._tools[name] for name in dict.fromkeys(names))

    def on_wire(self) -> list[dict[str, Any]]:
        """Their descriptions as a request holds them."""
        return [tool.on_wire() for tool in self]

    def __iter__(self) -> Iterator[AnyTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools
