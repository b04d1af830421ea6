"""A class that serves synchronous and asynchronous callers alike.

The logic is written once, as coroutines; each synchronous method runs one of them. The same object
works in a plain script, in a Flask view, inside a running loop and from many threads, all on the
one resident loop and its pooled connections.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from any_model import any_model
from flask import Flask

from xwe import LLMClient, gather_with_limit, run_async_in_sync


class HybridProcessor:
    """Answers messages briefly."""

    def __init__(self, client: LLMClient) -> None:
        self.client = client

    async def process_async(self, message: str) -> str:
        """For coroutines."""
        answer = await self.client.chat_async(message, system_prompt="Answer briefly.")
        return f"{message} → {len(answer)} characters"

    async def process_many_async(self, messages: list[str]) -> list[str | BaseException]:
        """Several at once; a failed one is represented by its error."""
        return await gather_with_limit(map(self.process_async, messages), limit=5)

    def process(self, message: str) -> str:
        """For synchronous callers."""
        return run_async_in_sync(self.process_async(message))

    def process_many(self, messages: list[str]) -> list[str | BaseException]:
        """For synchronous callers; the calls are still concurrent."""
        return run_async_in_sync(self.process_many_async(messages))


def main() -> None:
    """Call it in every way."""
    with any_model(latency_s=0.2), LLMClient(transport="aiohttp") as client:
        processor = HybridProcessor(client)

        print("a script:      ", processor.process("From a script?"))
        print("several:       ", *processor.process_many(["One?", "Two?", "Three?"]), sep="\n  ")
        print("a coroutine:   ", asyncio.run(processor.process_async("From a coroutine?")))

        async def inside_a_loop() -> str:
            return processor.process("From inside a running loop?")  # like a notebook's cell

        print("a running loop:", asyncio.run(inside_a_loop()))

        with ThreadPoolExecutor() as pool:
            print("threads:       ", *pool.map(processor.process, ["A?", "B?"]), sep="\n  ")

        app = Flask(__name__)
        app.add_url_rule("/", view_func=lambda: processor.process("From a view?"))
        print("a Flask view:  ", app.test_client().get("/").text)


if __name__ == "__main__":
    main()
