"""Coroutines for tests of the resident loop."""

import asyncio

from xwe.core.concurrency import blocking


async def echo(value):
    """The value, a turn of the loop later."""
    await asyncio.sleep(0)
    return value


async def for_ever(ended=None):
    """Waits until it is cancelled, and sets `ended` after a clean-up that takes its time."""
    try:
        await asyncio.Event().wait()
    finally:
        for _ in range(200):
            await asyncio.sleep(0)
        if ended is not None:
            ended.set()


def started(coro):
    """A task that has taken its first step."""
    task = blocking.create_task(coro)
    blocking.sleep(0)  # a task as well, and behind it
    return task
