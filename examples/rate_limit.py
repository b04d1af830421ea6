"""A rate limit for all threads and coroutines of the process.

At most 4 calls in any half second: twelve calls, made at once by coroutines and threads, go out in
three groups.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from any_model import any_model

from xwe import LLMClient
from xwe.core.nlp.async_utils import RateLimiter

limiter = RateLimiter(calls=4, period=0.5)
begun = time.monotonic()


async def ask_async(client: LLMClient, name: str) -> tuple[float, str]:
    """A coroutine that waits its turn; returns when it got through."""
    async with limiter:
        at = time.monotonic() - begun
        await client.chat_async(f"I am {name}.")
        return at, name


def ask(client: LLMClient, name: str) -> tuple[float, str]:
    """A thread that waits for the same limiter."""
    with limiter:
        at = time.monotonic() - begun
        client.chat(f"I am {name}.")
        return at, name


async def main() -> None:
    """Twelve at once."""
    with any_model(), LLMClient(transport="aiohttp") as client, ThreadPoolExecutor(6) as pool:
        loop = asyncio.get_running_loop()
        threads = [loop.run_in_executor(pool, ask, client, f"thread {n}") for n in range(6)]
        coroutines = [ask_async(client, f"coroutine {n}") for n in range(6)]
        for at, name in sorted(await asyncio.gather(*threads, *coroutines)):
            print(f"{at:5.2f} s  {name}")

        # A caller that does not want to wait gets False, and has used up nothing.
        rare = RateLimiter(calls=1, period=60)
        await rare.acquire()
        print("no turn within 0.01 s:", not await rare.acquire(timeout=0.01))


if __name__ == "__main__":
    asyncio.run(main())
