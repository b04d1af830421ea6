"""The floor of streaming: an ASGI application that passes the model's bytes on as they come."""

import os
from functools import cache

import aiohttp

ENDPOINT = os.environ["BENCH_ENDPOINT"]
QUESTION = b'{"model":"bench","messages":[{"role":"user","content":"Hello"}],"stream":true}'
HEADERS = [(b"content-type", b"text/event-stream")]


@cache
def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def application(scope, receive, send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = {"Content-Type": "application/json"}
    async with session().post(ENDPOINT, data=QUESTION, headers=headers) as reply:
        await send({"type": "http.response.start", "status": reply.status, "headers": HEADERS})
        async for data in reply.content.iter_any():
            await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body"})
