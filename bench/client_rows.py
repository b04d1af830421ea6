"""One client, driven in a process of its own: `client_rows.py call|stream ROW ENDPOINT`.

Prints {"cpu_s", "wall_s", "work"}: what the measured part cost this process, and how many calls
or pieces it did. Imports, connecting and the first calls are over before measuring begins, and
every reply is checked. The rows differ in nothing but the client: the same question, 64 at once,
uvloop wherever there is a loop.
"""

# ruff: noqa: PLC0415 - a row must not pay for importing the other rows' clients
import argparse
import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import uvloop
from upstream import MODEL, REPLY_TEXT, piece_text

MESSAGES = [{"role": "user", "content": "Hello, who are you? Please answer in a few sentences."}]
KEY = "bench"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
BODY = {"model": MODEL, "messages": MESSAGES}
TIMEOUT_S = 30

AsyncCall = Callable[[], Awaitable[str]]
Call = Callable[[], str]


def base_url(endpoint: str) -> str:
    return endpoint.removesuffix("/chat/completions")


# --- whole replies, awaited ---


@asynccontextmanager
async def raw_aiohttp(endpoint: str) -> AsyncIterator[AsyncCall]:
    import aiohttp
    import orjson

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), headers=HEADERS
    ) as session:

        async def call() -> str:
            async with session.post(endpoint, data=orjson.dumps(BODY)) as reply:
                body = orjson.loads(await reply.read())
            return body["choices"][0]["message"]["content"]

        yield call


@asynccontextmanager
async def async_openai(endpoint: str) -> AsyncIterator[AsyncCall]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=base_url(endpoint), api_key=KEY, max_retries=0) as client:

        async def call() -> str:
            reply = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
            return reply.choices[0].message.content

        yield call


@asynccontextmanager
async def litellm_acompletion(endpoint: str) -> AsyncIterator[AsyncCall]:
    import litellm

    async def call() -> str:
        reply = await litellm.acompletion(
            model=f"openai/{MODEL}", messages=MESSAGES, api_base=base_url(endpoint), api_key=KEY
        )
        return reply.choices[0].message.content

    yield call


def xwe_async(transport: str):
    @asynccontextmanager
    async def row(endpoint: str) -> AsyncIterator[AsyncCall]:
        with open_xwe(transport, endpoint) as client:

            async def call() -> str:
                return (await client.complete_async(MESSAGES)).text

            yield call

    return row


# --- whole replies, waited for in threads ---


@contextmanager
def requests_session(endpoint: str) -> Iterator[Call]:
    import requests

    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=1000))

        def call() -> str:
            reply = session.post(endpoint, json=BODY, headers=HEADERS, timeout=TIMEOUT_S)
            return reply.json()["choices"][0]["message"]["content"]

        yield call


@contextmanager
def requests_post(endpoint: str) -> Iterator[Call]:
    import requests

    def call() -> str:
        reply = requests.post(endpoint, json=BODY, headers=HEADERS, timeout=TIMEOUT_S)
        return reply.json()["choices"][0]["message"]["content"]

    yield call


@contextmanager
def openai_in_threads(endpoint: str) -> Iterator[Call]:
    from openai import OpenAI

    with OpenAI(base_url=base_url(endpoint), api_key=KEY, max_retries=0) as client:

        def call() -> str:
            reply = client.chat.completions.create(model=MODEL, messages=MESSAGES)
            return reply.choices[0].message.content

        yield call


def xwe_in_threads(transport: str):
    @contextmanager
    def row(endpoint: str) -> Iterator[Call]:
        with open_xwe(transport, endpoint) as client:
            yield lambda: client.complete(MESSAGES).text

    return row


@contextmanager
def open_xwe(transport: str, endpoint: str):
    from xwe import LLMClient

    client = LLMClient(KEY, endpoint, MODEL, transport=transport)
    try:
        yield client
    finally:
        client.cleanup()


# --- streamed replies ---


@asynccontextmanager
async def raw_aiohttp_stream(endpoint: str) -> AsyncIterator[AsyncCall]:
    import aiohttp
    import orjson

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), headers=HEADERS
    ) as session:

        async def call() -> str:
            text = ""
            body = orjson.dumps(BODY | {"stream": True})
            async with session.post(endpoint, data=body) as reply:
                async for line in reply.content:
                    if line.startswith(b"data: {"):
                        delta = orjson.loads(line[6:])["choices"][0]["delta"]
                        text += delta.get("content") or ""
            return text

        yield call


@asynccontextmanager
async def async_openai_stream(endpoint: str) -> AsyncIterator[AsyncCall]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=base_url(endpoint), api_key=KEY, max_retries=0) as client:

        async def call() -> str:
            stream = await client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=True
            )
            return await joined(stream)

        yield call


@asynccontextmanager
async def litellm_stream(endpoint: str) -> AsyncIterator[AsyncCall]:
    import litellm

    async def call() -> str:
        stream = await litellm.acompletion(
            model=f"openai/{MODEL}",
            messages=MESSAGES,
            api_base=base_url(endpoint),
            api_key=KEY,
            stream=True,
        )
        return await joined(stream)

    yield call


async def joined(stream) -> str:
    text = ""
    async for piece in stream:
        text += piece.choices[0].delta.content or ""
    return text


@asynccontextmanager
async def xwe_stream(endpoint: str) -> AsyncIterator[AsyncCall]:
    with open_xwe("aiohttp", endpoint) as client:

        async def call() -> str:
            text = ""
            async with client.stream_async(MESSAGES) as stream:
                async for delta in stream:
                    text += delta.text
            return text

        yield call


# --- driving ---


def on_own_loop(drive) -> dict:
    return uvloop.run(drive)


def on_resident_loop(drive) -> dict:
    """As a view under `async_route` runs."""
    from xwe.core.concurrency.loop_thread import get_loop_thread

    return get_loop_thread().run(drive)


ASYNC_CALLS = {
    "raw aiohttp": (raw_aiohttp, on_own_loop),
    "AsyncOpenAI, shared": (async_openai, on_own_loop),
    "LiteLLM acompletion": (litellm_acompletion, on_own_loop),
    "xwe aiohttp": (xwe_async("aiohttp"), on_resident_loop),
    "xwe aiohttp, from another loop": (xwe_async("aiohttp"), on_own_loop),
    "xwe requests": (xwe_async("requests"), on_resident_loop),
    "xwe openai": (xwe_async("openai"), on_resident_loop),
}
THREADED_CALLS = {
    "requests, pooled Session, threads": requests_session,
    "requests.post (the documents' client)": requests_post,
    "OpenAI in threads": openai_in_threads,
    "xwe aiohttp, from threads": xwe_in_threads("aiohttp"),
    "xwe requests, from threads": xwe_in_threads("requests"),
}
STREAMS = {
    "raw aiohttp + orjson": (raw_aiohttp_stream, on_own_loop),
    "AsyncOpenAI": (async_openai_stream, on_own_loop),
    "LiteLLM": (litellm_stream, on_own_loop),
    "xwe aiohttp": (xwe_stream, on_resident_loop),
}


class Meter:
    """What this process, all its threads, uses from `start` to `stop`."""

    def start(self) -> None:
        gc.collect()
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def stop(self, work: int) -> dict:
        cpu_s, wall_s = time.process_time() - self._cpu_s, time.perf_counter() - self._wall_s
        return {"cpu_s": cpu_s, "wall_s": wall_s, "work": work}


async def drive_async(row, endpoint: str, expected: str, plan: argparse.Namespace) -> dict:
    async with row(endpoint) as call:

        async def ask(times: int) -> None:
            for _ in range(times):
                assert await call() == expected

        async def all_ask(times: int) -> None:
            await asyncio.gather(*(ask(times) for _ in range(plan.concurrency)))

        await all_ask(plan.warm_up)
        meter = Meter()
        meter.start()
        await all_ask(plan.each)
        return meter.stop(plan.each * plan.concurrency)


def drive_threads(row, endpoint: str, expected: str, plan: argparse.Namespace) -> dict:
    with row(endpoint) as call, ThreadPoolExecutor(plan.concurrency) as pool:

        def ask(times: int) -> None:
            for _ in range(times):
                assert call() == expected

        def all_ask(times: int) -> None:
            for asked in [pool.submit(ask, times) for _ in range(plan.concurrency)]:
                asked.result()

        all_ask(plan.warm_up)
        meter = Meter()
        meter.start()
        all_ask(plan.each)
        return meter.stop(plan.each * plan.concurrency)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["call", "stream"])
    parser.add_argument("row", choices=[*ASYNC_CALLS, *THREADED_CALLS, *STREAMS], metavar="ROW")
    parser.add_argument("endpoint")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--each", type=int, default=40, help="calls (or streams) one after another")
    parser.add_argument("--warm-up", type=int, default=3, help="the same, not measured")
    parser.add_argument("--pieces", type=int, default=100, help="that a stream has")
    plan = parser.parse_args()
    if plan.kind == "stream":
        row, run = STREAMS[plan.row]
        expected = "".join(map(piece_text, range(plan.pieces)))
        measured = run(drive_async(row, plan.endpoint, expected, plan))
        measured["work"] *= plan.pieces
    elif plan.row in ASYNC_CALLS:
        row, run = ASYNC_CALLS[plan.row]
        measured = run(drive_async(row, plan.endpoint, REPLY_TEXT, plan))
    else:
        measured = drive_threads(THREADED_CALLS[plan.row], plan.endpoint, REPLY_TEXT, plan)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
