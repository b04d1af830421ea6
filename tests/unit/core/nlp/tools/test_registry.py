"""The tools that a model may call."""

import pytest

from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.errors import InvalidRequestError


def first() -> str:
    """One."""
    return "1"


def second() -> str:
    """Two."""
    return "2"


def test_functions_and_tools_are_found_by_name():
    registry = ToolRegistry([first])

    @registry.tool(effect="read_only", name="third")
    def decorated() -> str:
        """Three."""
        return "3"

    assert [tool.name for tool in registry] == ["first", "third"]
    assert registry.get("third") is decorated
    assert "first" in registry
    assert registry.get("nobody") is None
    assert len(registry) == 2


def test_two_of_one_name_are_refused():
    with pytest.raises(ValueError, match="first"):
        ToolRegistry([first, first])


def test_a_selection_keeps_its_order_and_none_means_all():
    registry = ToolRegistry([first, second])
    assert registry.select(None) is registry
    assert [tool.name for tool in registry.select(["second", "first", "second"])] == [
        "second",
        "first",
    ]
    assert len(registry.select([])) == 0


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(InvalidRequestError, match="first") as caught:
        ToolRegistry([first]).select(["third"])
    assert caught.value.field == "tools"


def test_the_decorator_needs_no_brackets():
    registry = ToolRegistry()

    @registry.tool
    def bare() -> str:
        """Bare."""
        return "0"

    assert registry.get("bare") is bare
