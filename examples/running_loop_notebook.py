"""Synchronous helpers inside a running loop, as in a notebook.

A notebook's cells run inside a loop, where `asyncio.run` and `loop.run_until_complete` raise an
error. `run_async_in_sync` works there: the coroutine runs on the resident loop while the cell
waits. So a script's helpers work in a cell, unchanged.
"""

import asyncio

from any_model import any_model

from xwe import LLMClient, gather_with_limit, run_async_in_sync


def ask_all(client: LLMClient, prompts: list[str]) -> list[str | BaseException]:
    """A synchronous helper that makes several calls at once."""
    return run_async_in_sync(gather_with_limit(map(client.chat_async, prompts), limit=5))


async def cells() -> None:
    """The cells of a notebook; all of them run inside its loop."""
    with any_model(latency_s=0.2):
        client = LLMClient(transport="aiohttp")

        # In [1]: the usual way fails.
        answering = client.chat_async("Hello?")
        try:
            asyncio.run(answering)
        except RuntimeError as error:
            print(f"asyncio.run:         RuntimeError: {error}")
            answering.close()

        # In [2]: the helper works.
        answers = ask_all(client, ["What is a cell?", "What is a kernel?"])
        print(f"run_async_in_sync:   {[len(str(answer)) for answer in answers]} characters")

        # In [3]: so do the plain methods ...
        print(f"client.chat:         {len(client.chat('Hello?'))} characters")

        # In [4]: ... and `await`, which does not block the notebook's loop.
        print(f"await chat_async:    {len(await client.chat_async('Hello?'))} characters")

        client.cleanup()


if __name__ == "__main__":
    asyncio.run(cells())
