"""Tools that the operator names: imported, and checked before the server is ready."""

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.errors import SettingsError

ALLOWED = "names of tools that can be imported, like package.module:attribute"


def with_own_tools(built_in: Iterable[Any], paths: Sequence[str]) -> ToolRegistry:
    """The built-in tools and those at `paths`; one of the same name takes the built-in's place.

    Raises:
        SettingsError: nothing can be imported from a path, or it is no tool.
    """
    own = ToolRegistry()
    for path in paths:
        for tool in _found(path):
            try:
                # Now, not in somebody's request: a tool that cannot be described is found here.
                own.add(tool).on_wire()
            except (TypeError, ValueError) as error:
                raise SettingsError("XWE_TOOLS", f"{path} ({error})", ALLOWED) from error
    tools = ToolRegistry(own)
    for tool in ToolRegistry(built_in):
        if tool.name not in own:
            tools.add(tool)
    return tools


def _found(path: str) -> Iterable[Any]:
    module, _, name = path.partition(":")
    # As `flask --app` does: what lies beside the .env is the operator's own code.
    here = os.getcwd()  # noqa: PTH109 - sys.path holds texts
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # whatever the operator's module does, the start ends in one line
        raise SettingsError("XWE_TOOLS", f"{path} ({error})", ALLOWED) from error
    return found if isinstance(found, ToolRegistry | list | tuple) else [found]
