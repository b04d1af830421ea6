"""A batch in which the model refuses one item, and the others do not notice."""

import time
from collections.abc import Mapping
from typing import Final

from xwe.cli.demo.screen import Screen, columns, padded
from xwe.cli.demo.texts import Texts
from xwe.core.concurrency.batch import AsyncBatchProcessor
from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.llm_client import LLMClient

_AT_ONCE: Final = 3
_REFUSED: Final = 2  # its place in the list
_GOOD: Final[Mapping[str, object]] = {"latency_s": 0.5}
_BAD: Final[Mapping[str, object]] = {**_GOOD, "fault": "status", "status": 400}


def show_batch(screen: Screen, texts: Texts, client: LLMClient) -> None:
    """Process the batch, and show each item's result in its place."""
    items: list[str] = texts["batch_items"]
    results: dict[str, str | BaseException] = {}
    screen.heading("3  " + texts["batch"].format(count=len(items)))

    async def ask(item: str) -> str:
        behaviour = _BAD if item == items[_REFUSED] else _GOOD
        prompt = texts["batch_prompt"].format(item=item)
        reply = await client.complete_async(prompt, extra={"mock": behaviour})
        results[item] = reply.text
        return reply.text

    async def process() -> list[str | BaseException]:
        async with AsyncBatchProcessor[str, str](ask, max_workers=_AT_ONCE) as processor:
            return await processor.process_batch(items)

    began = time.monotonic()
    processing = get_loop_thread().submit(process())
    screen.watch([processing], lambda: _lines(screen, items, results))
    results.update(zip(items, processing.result(), strict=True))
    seconds = time.monotonic() - began
    screen.settle(_lines(screen, items, results))
    bad = sum(isinstance(result, BaseException) for result in results.values())
    facts = texts["batch_facts"].format(good=len(items) - bad, bad=bad, seconds=seconds)
    screen.say(facts, is_bold=True)


def _lines(
    screen: Screen, items: list[str], results: Mapping[str, str | BaseException]
) -> list[str]:
    label = max(map(columns, items))
    lines = []
    for item in items:
        result = results.get(item)
        mark, said = screen.pending if result is None else screen.good, str(result or "")
        if isinstance(result, BaseException):
            mark, said = screen.bad, f"{type(result).__name__}: {result}"
        said = padded(" ".join(said.split()), screen.width - label - 6)
        lines.append(f"  {mark} {padded(item, label)}  {said.rstrip()}")
    return lines
