"""A client in an `async with` block, which closes its connections at the end.

Three whole answers at once, then three streams at once. A call after the block raises ClosedError,
which is a RuntimeError.
"""

import asyncio

from any_model import any_model

from xwe import LLMClient

PROMPTS = ("What is a Flask view?", "What is an event loop?", "What is a thread?")


async def main() -> None:
    """Three answers at once, three streams at once, and one call too late."""
    with any_model(latency_s=0.3, length=30):
        async with LLMClient(transport="aiohttp") as client:
            for prompt, answer in zip(
                PROMPTS, await asyncio.gather(*map(client.chat_async, PROMPTS)), strict=True
            ):
                print(f"{prompt:<24} {answer[:50]!r} …")

            async def count_pieces(prompt: str) -> int:
                async with client.stream_async(prompt) as stream:  # leaving it ends the request
                    return len([delta async for delta in stream if delta.text])

            pieces = await asyncio.gather(*map(count_pieces, PROMPTS))
            print(f"three streams at once: {pieces} pieces")

        try:
            await client.chat_async("Still there?")
        except RuntimeError as error:
            print(f"after the block: {type(error).__name__}: {error}")


if __name__ == "__main__":
    asyncio.run(main())
