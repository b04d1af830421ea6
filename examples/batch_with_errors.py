"""A batch in which one item fails: its error takes its place, and the others are unaffected.

Three ways: a whole list (`process_batch`), items as they arrive (`add_request`), and plain
coroutines (`gather_with_limit`). It always asks the demo model, because a real one does not fail on
request. Lines that begin with "model call" are the client's log.
"""

import asyncio

from any_model import demo_model

from xwe import LLMClient, gather_with_limit
from xwe.core.nlp.async_utils import AsyncBatchProcessor

CITIES = ["Aachen", "Bergen", "Atlantis", "Cádiz", "Dijon", "Essen"]
REFUSE = {"fault": "status", "status": 400}  # tells the demo model to fail


def show(title: str, results: list[str | BaseException]) -> None:
    """One line for each item."""
    print(title)
    for city, result in zip(CITIES, results, strict=True):
        if isinstance(result, BaseException):
            print(f"  ✗ {city:<9} {type(result).__name__}: {result}")
        else:
            print(f"  ✓ {city:<9} {result}")


async def main() -> None:
    """All three ways, one after another."""
    with demo_model(latency_s=0.1):
        async with LLMClient(transport="aiohttp") as client:

            async def describe(city: str) -> str:
                mock = REFUSE if city == "Atlantis" else {}
                reply = await client.complete_async(f"Where is {city}?", extra={"mock": mock})
                return f"{len(reply.text)} characters"

            async with AsyncBatchProcessor(describe, max_workers=3) as processor:
                show("A whole list, three at a time:", await processor.process_batch(CITIES))

            async def describe_all(cities: list[str]) -> list[str | BaseException]:
                print(f"  (a batch of {len(cities)})")
                return await gather_with_limit(map(describe, cities))

            # This function gets the whole list and returns a result for each item.
            async with AsyncBatchProcessor(describe_all, batch_size=4, timeout=0.05) as collector:
                futures = [await collector.add_request(city) for city in CITIES]
                show("One by one:", await asyncio.gather(*futures, return_exceptions=True))

            show("Plain coroutines:", await gather_with_limit(map(describe, CITIES), limit=2))


if __name__ == "__main__":
    asyncio.run(main())
