"""No more than so many calls in so much time, over all threads and coroutines of the process.

Here at most 4 in any half second: twelve calls, made at once by coroutines and by threads, leave
in three groups.
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
    """A coroutine in the line; when it was let through."""
    async with limiter:
        at = time.monotonic() - begun
        await client.chat_async(f"I am {name}.")
        return at, name


def ask(client: LLMClient, name: str) -> tuple[float, str]:
    """A thread in the same line."""
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

        # Whoever cannot wait is told at once; no place in the line is taken.
        rare = RateLimiter(calls=1, period=60)
        await rare.acquire()
        print("no turn within 0.01 s:", not await rare.acquire(timeout=0.01))


if __name__ == "__main__":
    asyncio.run(main())
