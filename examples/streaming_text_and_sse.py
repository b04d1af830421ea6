"""A model's answer streamed by your own Flask routes: as plain text, and as server-sent events.

Each route is an ordinary synchronous view around `client.stream`. When a reader disconnects, the
generator is closed, and with it the request to the model. A chunk never splits a character.
"""

import json
import time
from collections.abc import Iterator

import requests
from any_model import any_model
from flask import Flask, Response, request
from ten_users import served

from xwe import LLMClient
from xwe.errors import XweError

app = Flask(__name__)
# The first header is for nginx, which would otherwise buffer the pieces.
UNBUFFERED = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache"}


def pieces(prompt: str) -> Iterator[str]:
    """The answer, piece by piece."""
    with app.config["CLIENT"].stream(prompt) as stream:
        for delta in stream:
            if delta.text:
                yield delta.text


@app.get("/chat")
def chat_as_text() -> Response:
    """For `fetch` and `response.body.getReader()`."""
    return Response(pieces(request.args["prompt"]), mimetype="text/plain", headers=UNBUFFERED)


@app.get("/events")
def chat_as_events() -> Response:
    """For `new EventSource(…)`; unlike plain text, it can report an error."""

    def events(prompt: str) -> Iterator[str]:
        try:
            for text in pieces(prompt):
                yield f"data: {json.dumps({'text': text}, ensure_ascii=False)}\n\n"
            yield "event: done\ndata: {}\n\n"
        except XweError as error:
            yield f"event: failed\ndata: {json.dumps({'code': error.code})}\n\n"

    return Response(
        events(request.args["prompt"]), mimetype="text/event-stream", headers=UNBUFFERED
    )


def read(url: str) -> None:
    """Read a stream as a browser does, and print when its chunks arrived."""
    begun = time.monotonic()
    with requests.get(url, params={"prompt": "写一首诗"}, stream=True, timeout=60) as response:
        response.encoding = "utf-8"
        chunks = []
        for chunk in response.iter_content(chunk_size=None, decode_unicode=True):
            if not chunks:
                print(f"  first chunk after {time.monotonic() - begun:.2f} s: {chunk.strip()!r}")
            chunks.append(chunk)
    print(f"  last chunk after {time.monotonic() - begun:.2f} s, {len(chunks)} chunks in all")
    print(f"  the end: {''.join(chunks)[-30:]!r}")


if __name__ == "__main__":
    with (
        any_model(latency_s=0.2, tokens_per_s=60, length=60),
        LLMClient(transport="aiohttp") as app.config["CLIENT"],
        served(app) as address,
    ):
        for path in ("/chat", "/events"):
            print(path)
            read(address + path)
