"""A batch in which the model refuses one item, and nobody else notices."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from xwe.cli.demo.screen import Screen, columns, padded
from xwe.cli.demo.texts import Texts
from xwe.cli.demo.watching import News, watch
from xwe.core.concurrency.batch import AsyncBatchProcessor
from xwe.core.nlp.llm_client import LLMClient

AT_ONCE = 3
REFUSED = 2  # the place in the list

_GOOD: Mapping[str, object] = {"latency_s": 0.5}
_BAD: Mapping[str, object] = {**_GOOD, "fault": "status", "status": 400}


@dataclass(slots=True)
class _Item:
    """One item as far as it has come."""

    name: str
    behaviour: Mapping[str, object]
    state: str
    result: str | BaseException | None = None


def show_batch(screen: Screen, texts: Texts, client: LLMClient) -> None:
    """Work the batch off, and show each item's result in its place."""
    screen.heading("3  " + texts.batch.format(count=len(texts.batch_items)))
    items = [
        _Item(name, _BAD if place == REFUSED else _GOOD, texts.batch_waits)
        for place, name in enumerate(texts.batch_items)
    ]
    news = News()

    async def ask(item: _Item) -> str:
        item.state = texts.batch_runs
        news.tell()
        reply = await client.complete_async(
            texts.batch_prompt.format(item=item.name), extra={"mock": item.behaviour}
        )
        item.result = reply.text
        news.tell()
        return reply.text

    async def work() -> list[str | BaseException]:
        async with AsyncBatchProcessor[_Item, str](ask, max_workers=AT_ONCE) as processor:
            return await processor.process_batch(items)

    begun = time.monotonic()
    results = watch(work(), news, lambda: screen.draw(_lines(screen, items)))
    seconds = time.monotonic() - begun
    for item, result in zip(items, results, strict=True):
        item.result = result
    screen.settle(_lines(screen, items))
    bad = sum(isinstance(result, BaseException) for result in results)
    facts = texts.batch_facts.format(good=len(results) - bad, bad=bad, seconds=seconds)
    screen.result(facts)


def _lines(screen: Screen, items: list[_Item]) -> list[str]:
    label = max(columns(item.name) for item in items)
    room = screen.width - label - 6
    return [_line(screen, item, label, room) for item in items]


def _line(screen: Screen, item: _Item, label: int, room: int) -> str:
    if item.result is None:
        mark, said = screen.mark_open, item.state
    elif isinstance(item.result, BaseException):
        mark, said = screen.mark_bad, f"{type(item.result).__name__}: {item.result}"
    else:
        mark, said = screen.mark_good, " ".join(item.result.split())
    return f"  {mark} {padded(item.name, label)}  {padded(said, room).rstrip()}"
