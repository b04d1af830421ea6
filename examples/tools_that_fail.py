"""Tools that fail, take too long or are called wrongly: the model is told, and the turn goes on.

Every call has exactly one result, so that no provider ever refuses the conversation.
"""

import asyncio

from any_model import demo_model

from xwe import Agent, LLMClient, events, tool
from xwe.mock import Behaviour


@tool(effect="read_only")
async def lookup(key: str) -> str:
    """Look a key up."""
    raise KeyError(f"{key} is not in the index")


@tool(effect="read_only", timeout_s=0.2)
async def crawl(url: str) -> str:
    """Read a page."""
    await asyncio.sleep(60)
    return url


@tool(effect="read_only")
async def convert(amount: float, to: str) -> str:
    """Convert euros to another currency."""
    return f"{amount} EUR in {to}"


CALLS = [
    {"name": "lookup", "arguments": {"key": "xwe"}},
    {"name": "crawl", "arguments": {"url": "http://127.0.0.1/"}},
    {"name": "convert", "arguments": {"amount": "a few", "to": "CNY"}},
    {"name": "convert", "arguments": '{"amount": 3, "to"'},
    {"name": "teleport", "arguments": {}},
    {"name": "convert", "arguments": {"amount": 3, "to": "CNY"}},
]

if __name__ == "__main__":
    with demo_model() as model, LLMClient(transport="aiohttp") as client:
        model.script_by_kind(offers_tools=Behaviour(tool_calls=CALLS))
        agent = Agent(client, [lookup, crawl, convert])
        for event in agent.run("?", mode="sync"):
            match event:
                case events.CallFailed(tool=name, error=error):
                    print(f"✗ {name:9} {error}")
                case events.CallFinished(tool=name, output=output):
                    print(f"✓ {name:9} {output}")
        told = [m for m in model.requests[-1].body["messages"] if m["role"] == "tool"]
        print(f"{len(CALLS)} calls, {len(told)} results in the conversation")
        agent.close()
