"""AsyncWrapper makes your own functions awaitable, whether they are `def` or `async def`.

A blocking function runs in a thread pool, with the caller's context variables, and does not block
the loop.
"""

import asyncio
import threading
import time
from contextvars import ContextVar

from xwe.core.nlp.async_utils import AsyncHelper, AsyncWrapper

user = ContextVar("user", default="nobody")


def look_up(word: str) -> str:
    """Blocking code, as in a database driver, a file or an old library."""
    time.sleep(0.3)
    return f"{word} for {user.get()} in {threading.current_thread().name}"


async def look_up_async(word: str) -> str:
    """The same in a library that is already asynchronous."""
    await asyncio.sleep(0.3)
    return f"{word} for {user.get()} on the loop"


async def main() -> None:
    """Both kinds, concurrently."""
    user.set("Ada")
    blocking, native = AsyncWrapper(look_up), AsyncWrapper(look_up_async)
    begun = time.monotonic()
    for line in await asyncio.gather(blocking("one"), blocking("two"), native("three")):
        print(line)
    print(f"three calls of 0.3 s each took {time.monotonic() - begun:.2f} s")

    # The pool's threads limit how many run at once: LLM_ASYNC_WORKERS, or a pool of your own.
    pool = AsyncHelper.create_executor(max_workers=10)
    wide = AsyncWrapper(look_up, pool)
    begun = time.monotonic()
    await asyncio.gather(*(wide(f"word {number}") for number in range(10)))
    print(f"ten calls in ten threads took {time.monotonic() - begun:.2f} s")
    pool.shutdown()

    blocking.cleanup()
    try:
        await blocking("four")
    except RuntimeError as error:
        print(f"after cleanup(): {error}")


if __name__ == "__main__":
    asyncio.run(main())
