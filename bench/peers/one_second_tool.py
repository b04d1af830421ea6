"""A tool that takes a second, for many turns at once."""

import asyncio

from xwe import tool


@tool(effect="read_only")
async def tool_0(query: str) -> str:
    """Look something up."""
    await asyncio.sleep(1)
    return query
