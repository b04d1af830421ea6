"""The tools that a model may call, by name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from xwe.core.nlp.tools.tool import AnyTool, Tool
from xwe.errors import InvalidRequestError


class ToolRegistry:
    """Tools in the order in which they were added.

    Args:
        tools: tools, or functions that are made tools as `@tool` does.

    Raises:
        ValueError: two have the same name.
    """

    def __init__(self, tools: Iterable[AnyTool | Callable[..., Any]] = ()) -> None:
        self._tools: dict[str, AnyTool] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: AnyTool | Callable[..., Any]) -> AnyTool:
        """Add a tool; the tool.

        Raises:
            ValueError: there is one of its name.
        """
        added = tool if isinstance(tool, Tool) else Tool(tool)
        if added.name in self._tools:
            raise ValueError(f"There is a tool named {added.name} already.")
        self._tools[added.name] = added
        return added

    def tool(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """A decorator that makes a function a tool and adds it, bare or called; see `Tool`."""
        if function is not None:
            return self.add(Tool(function, **options))
        return lambda decorated: self.add(Tool(decorated, **options))

    def get(self, name: str) -> AnyTool | None:
        """The tool of this name."""
        return self._tools.get(name)

    def select(self, names: Sequence[str] | None) -> "ToolRegistry":
        """Those with these names; all for None.

        Raises:
            InvalidRequestError: there is none of a name.
        """
        if names is None:
            return self
        unknown = [name for name in names if name not in self._tools]
        if unknown:
            there = ", ".join(self._tools) or "none"
            raise InvalidRequestError(
                f"tools: there is no {unknown[0]!r:.80}; there are {there}.", field="tools"
            )
        return ToolRegistry(self._tools[name] for name in dict.fromkeys(names))

    def on_wire(self) -> list[dict[str, Any]]:
        """The descriptions that a request offers them with."""
        return [tool.on_wire() for tool in self]

    def __iter__(self) -> Iterator[AnyTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools
