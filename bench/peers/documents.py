"""What document 001 ends up with: a thread pool of 5 around `requests.post`, a loop per request."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import wraps

import requests
from flask import Flask, jsonify, request

ENDPOINT = os.environ["BENCH_ENDPOINT"]
HEADERS = {"Authorization": "Bearer bench"}
WORKERS = 5


def async_route(view):
    @wraps(view)
    def synchronous(*args, **kwargs):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(view(*args, **kwargs))
        finally:
            loop.close()

    return synchronous


class PooledClient:
    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=WORKERS)

    def chat(self, prompt: str) -> str:
        body = {"model": "bench", "messages": [{"role": "user", "content": prompt}]}
        reply = requests.post(ENDPOINT, json=body, headers=HEADERS, timeout=30)
        reply.raise_for_status()
        return reply.json()["choices"][0]["message"]["content"]

    async def chat_async(self, prompt: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.chat, prompt)


application = Flask(__name__)
client = PooledClient()


@application.post("/chat")
@async_route
async def chat():
    return jsonify({"response": await client.chat_async(request.get_json()["message"])})
