"""Tool plugins are found, or refused in one line before the server is ready."""

import sys

import pytest

from xwe.core.nlp.tools.tool import tool
from xwe.errors import SettingsError
from xwe.services.tool_plugins import with_plugins


@tool(effect="read_only")
def weather(city: str) -> str:
    """The built-in one."""
    return city


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the directory where the server starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "shop_tools", raising=False)

    def write(source):
        tmp_path.joinpath("shop_tools.py").write_text(
            "from xwe import tool, ToolRegistry\n" + source
        )

    yield write
    sys.modules.pop("shop_tools", None)


def test_the_built_in_tools_stand_where_none_is_named():
    assert [one.name for one in with_plugins([weather], ())] == ["weather"]


@pytest.mark.parametrize("name", ["price", "many", "registry"])
def test_a_tool_a_list_and_a_registry_are_found(module, name):
    module(
        "@tool\ndef price(item: str) -> int:\n    return 1\n"
        "many = [price]\nregistry = ToolRegistry([price])\n"
    )
    names = [one.name for one in with_plugins([weather], (f"shop_tools:{name}",))]
    assert names == ["price", "weather"]


def test_a_plugin_replaces_a_built_in_tool(module):
    module('@tool\ndef weather(city: str) -> str:\n    """Mine."""\n    return city\n')
    registry = with_plugins([weather], ("shop_tools:weather",))
    assert [one.description for one in registry] == ["Mine."]


@pytest.mark.parametrize(
    "source", ["", "tool_ = 3", "@tool\ndef tool_(x) -> int: ...", "raise ImportError('no luck')"]
)
def test_what_cannot_be_used_is_refused_with_its_path(module, source):
    module(source)
    with pytest.raises(SettingsError, match=r"XWE_TOOLS.*shop_tools:tool_"):
        with_plugins([], ("shop_tools:tool_",))
