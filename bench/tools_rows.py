"""Times turns with tools, all rows at once: they wait for the clock, hardly for each other.

It is given the model server's address and the case as JSON, and prints, for each row, seconds
until the first text, the first text that knows results, and the end.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence

from openai import AsyncOpenAI
from peers import document_000
from tools_upstream import ALL_CALLS, ONE_CALL

from xwe import LLMClient
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.agent import Agent
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.tool import Tool, tool

KEY = "bench"
QUESTION = "北京的天气和美食"


class Stopwatch:
    """When a reader got what."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first: dict[str, float] = {}

    def note(self, heard: str) -> None:
        now = time.perf_counter() - self._began
        self._first.setdefault("text", now)
        self._first.setdefault(heard, now)

    def times(self) -> dict[str, float]:
        total = time.perf_counter() - self._began
        return {
            "first_text": self._first["text"],
            "grounded": self._first["grounded"],
            "total": total,
        }


class Rows:
    """All rows, for one server and one case.

    Args:
        base_url: of the server.
        tools_s: how long each tool takes.
    """

    def __init__(self, base_url: str, tools_s: Sequence[float]) -> None:
        self._openai = AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0)
        self._xwe = LLMClient(KEY, f"{base_url}/chat/completions", ALL_CALLS, transport="aiohttp")
        self._tools = [_tool(number, takes) for number, takes in enumerate(tools_s)]

    async def measure(self) -> dict[str, dict[str, float]]:
        """Seconds, by row; each client has a connection before the clock starts."""
        hello = [{"role": "user", "content": "hello"}]
        extra = {"mock": {"text": "hello", "latency_s": 0}}
        await self._openai.chat.completions.create(
            model=ALL_CALLS, messages=hello, extra_body=extra
        )
        await self._xwe.complete_async(hello, extra=extra)
        early = AgentPolicy(bridge_start="at_first_call")
        rows = {
            "sequential": self._document(document_000.without_bridge, ONE_CALL),
            "sync parallel": self._document(document_000.without_bridge),
            "document 000, non-preemptive": self._document(document_000.non_preemptive),
            "document 000, preemptive, ideal": self._document(document_000.preemptive),
            "xwe sync": self._ours(mode="sync"),
            "xwe non-preemptive": self._ours(mode="non_preemptive"),
            "xwe non-preemptive, an agent's second turn": self._ours_taught(),
            "xwe preemptive": self._ours(mode="preemptive"),
            "xwe preemptive, bridge at the first call": self._ours(early, mode="preemptive"),
            "xwe preemptive, any result": self._ours(mode="preemptive", awaiting="any"),
        }
        async with self._openai, self._xwe:
            measured = await asyncio.gather(*rows.values())
        return dict(zip(rows, measured, strict=True))

    async def _document(self, engine, model: str = ALL_CALLS) -> dict[str, float]:
        chat = document_000.Chat(
            self._openai,
            model,
            [{"role": "user", "content": QUESTION}],
            [one.on_wire() for one in self._tools],
            {one.name: _without_arguments(one) for one in self._tools},
        )
        return await _timed(engine(chat))

    async def _ours(self, policy: AgentPolicy | None = None, **options) -> dict[str, float]:
        agent = Agent(self._xwe, self._tools, policy=policy)
        return await _timed(_heard(agent.run_async(QUESTION, **options)))

    async def _ours_taught(self) -> dict[str, float]:
        """A bridge that is heard out, once the agent has seen how long everything takes."""
        agent = Agent(self._xwe, self._tools)
        await _timed(_heard(agent.run_async(QUESTION, mode="preemptive")))
        return await _timed(_heard(agent.run_async(QUESTION, mode="non_preemptive")))


def _tool(number: int, takes_s: float) -> Tool:
    @tool(name=f"tool_{number}", effect="read_only")
    async def look(query: str) -> str:
        """Look something up."""
        await asyncio.sleep(takes_s)
        return query

    return look


def _without_arguments(one: Tool):
    """A baseline's tool: what it is called with makes no difference to the time it takes."""

    async def call() -> str:
        return await one.function(query="anything")

    return call


async def _timed(heard: AsyncIterator[str]) -> dict[str, float]:
    stopwatch = Stopwatch()
    async for kind in heard:
        stopwatch.note(kind)
    return stopwatch.times()


async def _heard(turn: AsyncIterator[events.AgentEvent]) -> AsyncIterator[str]:
    """What a reader gets of our events: text, and whether the model knew a result."""
    knows_results, kind = False, "said"
    async for event in turn:
        match event:
            case events.CallFinished():
                knows_results = True
            case events.CallFailed():
                raise RuntimeError(event.error)
            case events.StepBegan():
                is_answer = event.kind == "answer"
                kind = "grounded" if is_answer and knows_results else "said"
            case events.TextGrew(kind="text"):
                yield kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("tools_s", type=json.loads, help="a JSON list")
    given = parser.parse_args()

    async def measure() -> dict[str, dict[str, float]]:
        return await Rows(given.base_url, given.tools_s).measure()

    print(json.dumps(get_loop_thread().run(measure())))


if __name__ == "__main__":
    main()
