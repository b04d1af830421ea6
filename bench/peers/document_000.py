"""What document 000 does, and what people do without it: an engine of three plain requests.

In its order: a first request that may call tools; a second one, to talk while they run; a third
that is told the results and what was said. The document's own code runs on Node and OpenAI's SDK;
this is the same on AsyncOpenAI, with one thing better: the preemptive mode cuts the second request
off the moment the results are there, where the document looks when the next piece comes.

Each engine is an asynchronous generator of what a reader gets: "said" for a piece of text, and
"grounded" for one that knows results.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from openai import AsyncOpenAI

Heard = Literal["said", "grounded"]
ToolFunction = Callable[[], Awaitable[str]]

MEANWHILE = "The tools are running. Go on talking about something that does not need their results."


@dataclass
class Chat:
    """A conversation with a model that may call tools."""

    client: AsyncOpenAI
    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    functions: Mapping[str, ToolFunction]
    calls: list[dict[str, str]] = field(default_factory=list)

    async def ask(self, messages: list[dict[str, Any]], **fields: Any) -> AsyncIterator[str]:
        """The pieces of text of a reply; its calls are kept."""
        self.calls = []
        stream = await self.client.chat.completions.create(
            model=self.model, messages=messages, stream=True, **fields
        )
        async with stream:
            async for chunk in stream:
                if not chunk.choices:
                    continue
                delta = chunk.choices[0].delta
                for piece in delta.tool_calls or ():
                    if piece.id:
                        self.calls.append(
                            {"id": piece.id, "name": piece.function.name, "arguments": ""}
                        )
                    self.calls[-1]["arguments"] += piece.function.arguments or ""
                if delta.content:
                    yield delta.content

    def begin_tools(self) -> asyncio.Future[list[str]]:
        """All tools of the last reply, running."""
        return asyncio.gather(*(self.functions[call["name"]]() for call in self.calls))

    def add_results(self, calls: list[dict[str, str]], results: list[str]) -> None:
        made = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls
        ]
        self.messages.append({"role": "assistant", "content": None, "tool_calls": made})
        for call, result in zip(calls, results, strict=True):
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


async def without_bridge(chat: Chat) -> AsyncIterator[Heard]:
    """Ask, run what it calls, ask again, until it calls nothing; the usual loop."""
    heard: Heard = "said"
    while True:
        async for _ in chat.ask(chat.messages, tools=chat.tools):
            yield heard
        if not chat.calls:
            return
        calls = chat.calls
        chat.add_results(calls, await chat.begin_tools())
        heard = "grounded"


async def non_preemptive(chat: Chat) -> AsyncIterator[Heard]:
    """The bridge is heard out; then the results are waited for."""
    async for _ in chat.ask(chat.messages, tools=chat.tools):
        yield "said"
    calls, running = chat.calls, chat.begin_tools()
    bridge = ""
    async for piece in chat.ask([*chat.messages, {"role": "system", "content": MEANWHILE}]):
        bridge += piece
        yield "said"
    async for heard in _answer(chat, calls, await running, bridge):
        yield heard


async def preemptive(chat: Chat) -> AsyncIterator[Heard]:
    """The bridge is cut off as soon as the results are there, also while nothing is coming."""
    async for _ in chat.ask(chat.messages, tools=chat.tools):
        yield "said"
    calls, running = chat.calls, chat.begin_tools()
    spoken = aiter(chat.ask([*chat.messages, {"role": "system", "content": MEANWHILE}]))
    bridge = ""
    while not running.done():
        piece = asyncio.ensure_future(anext(spoken, None))
        await asyncio.wait({piece, running}, return_when=asyncio.FIRST_COMPLETED)
        if not piece.done():
            piece.cancel()
            await asyncio.wait({piece})
            break
        if piece.result() is None:
            break
        bridge += piece.result()
        yield "said"
    await spoken.aclose()
    async for heard in _answer(chat, calls, await running, bridge):
        yield heard


async def _answer(
    chat: Chat, calls: list[dict[str, str]], results: list[str], bridge: str
) -> AsyncIterator[Heard]:
    chat.add_results(calls, results)
    if bridge:
        chat.messages.append({"role": "assistant", "content": bridge})
    async for _ in chat.ask(chat.messages):
        yield "grounded"
