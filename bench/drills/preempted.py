"""A drill: a thousand turns whose bridge is cut off, over a real wire; what is left afterwards.

    python bench/drills/preempted.py [TURNS]

Prints tasks, threads, sockets and open upstream requests before and after; fails unless they are
the same, every turn ended with its answer, and every bridge was cut off upstream.
"""

import asyncio
import sys
import threading
from collections import Counter
from pathlib import Path

from xwe import Agent, LLMClient, tool
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.mock import Behaviour, MockServer

AT_ONCE = 50
PATIENCE_S = 20.0


@tool(effect="read_only")
async def look(query: str) -> str:
    """Look something up."""
    await asyncio.sleep(0.05)
    return query


def sockets() -> int:
    """Of this process."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += str(descriptor.readlink()).startswith("socket:")
        except FileNotFoundError:  # the listing's own
            continue
    return found


async def one(agent: Agent, seen: Counter[str]) -> None:
    async for event in agent.run_async("?"):
        seen[type(event).__name__] += 1


async def turns(agent: Agent, count: int) -> tuple[Counter[str], int]:
    seen: Counter[str] = Counter()
    for _ in range(count // AT_ONCE):
        await asyncio.gather(*(one(agent, seen) for _ in range(AT_ONCE)))
    return seen, len(asyncio.all_tasks())


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    loop = get_loop_thread()
    with MockServer() as model:
        model.script_by_kind(
            offers_tools=Behaviour(tool_calls=[{"name": "look", "arguments": {"query": "q"}}]),
            plain=Behaviour(text="and so on " * 200, tokens_per_s=500),
            has_tool_results=Behaviour(text="Found."),
        )
        with LLMClient(
            "key", f"{model.base_url}/chat/completions", "m", transport="aiohttp"
        ) as client:
            agent = Agent(client, [look])
            loop.run(turns(agent, AT_ONCE))  # opens the connections that will be used again
            before = threading.active_count(), sockets()
            model.forget_requests()
            seen, tasks = loop.run(turns(agent, count))
            model.wait_until(
                lambda: all(r.finished or r.disconnected for r in model.requests), PATIENCE_S
            )
            after = threading.active_count(), sockets()
            cut = sum(request.disconnected for request in model.requests)
            print(f"turns ended: {seen['TurnEnded']}, bridges cut off: {seen['Interrupted']}")
            print(f"upstream: {len(model.requests)} requests, {cut} closed by us, 0 still open")
            print(f"threads, sockets before {before}, after {after}; tasks on the loop: {tasks}")
            agent.close()
    assert seen["TurnEnded"] == count
    assert tasks == 1, "the turns' own is the only one"
    assert after[0] <= before[0]
    assert after[1] <= before[1] + AT_ONCE, "the pool keeps some open"


if __name__ == "__main__":
    main()
