"""Tools that the operator names in XWE_TOOLS: imported and checked before the server is ready."""

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.errors import SettingsError

ALLOWED = "names of tools that can be imported, like package.module:attribute"


def with_plugins(built_in: Iterable[Any], paths: Sequence[str]) -> ToolRegistry:
    """The tools at `paths` and the built-in ones; a plugin replaces a built-in tool of its name.

    Raises:
        SettingsError: nothing can be imported from a path, or it is not a tool.
    """
    plugins = ToolRegistry()
    for path in paths:
        for tool in _imported(path):
            try:
                # Now rather than in a user's request: this finds a tool that cannot be described.
                plugins.add(tool).on_wire()
            except (TypeError, ValueError) as error:
                raise SettingsError("XWE_TOOLS", f"{path} ({error})", ALLOWED) from error
    tools = ToolRegistry(plugins)
    for tool in ToolRegistry(built_in):
        if tool.name not in plugins:
            tools.add(tool)
    return tools


def _imported(path: str) -> Iterable[Any]:
    module, _, name = path.partition(":")
    # As `flask --app` does: modules in the directory of the .env are the operator's own code.
    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # whatever the operator's module does, the start ends in one line
        raise SettingsError("XWE_TOOLS", f"{path} ({error})", ALLOWED) from error
    return found if isinstance(found, ToolRegistry | list | tuple) else [found]
