"""Many prompts through one `AsyncBatchProcessor`, in a process of its own.

Prints {"cpu_s", "wall_s", "prompts", "rss_early_mb", "rss_late_mb"}: memory after the first tenth
of the prompts and after the last of them. Answers are checked and dropped slice by slice, so that
what grows is the processor's own.
"""

import argparse
import json
import os
import time

from client_rows import KEY
from processes import resident_mb
from upstream import MODEL, REPLY_TEXT

from xwe import LLMClient
from xwe.core.concurrency.batch import AsyncBatchProcessor
from xwe.core.concurrency.loop_thread import get_loop_thread

SLICES = 10


async def measure(client: LLMClient, prompts: int, concurrency: int) -> dict:
    slice_size = prompts // SLICES
    memory_mb = []
    async with AsyncBatchProcessor(client.chat_async, max_workers=concurrency) as processor:
        await processor.process_batch(map(str, range(concurrency)))  # connects
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for number in range(SLICES):
            items = (f"Prompt {number * slice_size + index}" for index in range(slice_size))
            answers = await processor.process_batch(items)
            assert answers.count(REPLY_TEXT) == slice_size
            del answers
            memory_mb.append(resident_mb(os.getpid()))
        return {
            "cpu_s": time.process_time() - cpu_s,
            "wall_s": time.perf_counter() - wall_s,
            "prompts": slice_size * SLICES,
            "rss_early_mb": memory_mb[0],
            "rss_late_mb": memory_mb[-1],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("endpoint")
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=64)
    plan = parser.parse_args()
    with LLMClient(KEY, plan.endpoint, MODEL, transport="aiohttp") as client:
        measuring = measure(client, plan.prompts, plan.concurrency)
        print(json.dumps(get_loop_thread().run(measuring)))


if __name__ == "__main__":
    main()
