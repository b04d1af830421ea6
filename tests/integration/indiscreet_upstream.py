"""An upstream that repeats the key that it is asked with, in every place it can.

In the status line, in headers, in a redirect, and in each field of the body; only the text and the
finish_reason of an answer are left alone, since those are passed on as the model's own words.
"""

from collections.abc import Iterator
from itertools import product

import orjson

KEY = "canary/key-of-nobody=0123456789"
STATUS_LINES = ["200 OK", f"401 {KEY}", "400 Bad", f"429 {KEY}", "500 x", "302 Found"]
HEADERS = ["Retry-After", "X-Request-ID", "Server", "WWW-Authenticate"]


def in_words(request):
    return {"error": {"message": f"bad key {KEY}", "code": KEY, "type": KEY, "param": KEY}}


def in_an_unknown_shape(request):
    return {"detail": [{"msg": KEY, "input": request.decode("latin-1")}], "request_id": KEY}


def in_a_reply(request):
    usage = {"prompt_tokens": KEY, "completion_tokens": KEY, "total_tokens": KEY}
    message = {"role": KEY, "content": "an answer", "name": KEY}
    choice = {"index": KEY, "message": message, "delta": message, "finish_reason": "stop"}
    return {"id": KEY, "model": KEY, "choices": [choice], "usage": usage}


SHAPES = [in_words, in_an_unknown_shape, in_a_reply]


class IndiscreetUpstream:
    """Served by the fixture `wire`; says what the last of `ways` was come to."""

    def __init__(self, wire):
        self._wire = wire
        self._shape, self._status = SHAPES[0], STATUS_LINES[1]
        self._server = wire.serve(self._repeat)
        self.base_url = self._server.url.removesuffix("/chat/completions")

    @property
    def requests(self):
        return self._server.requests

    def ways(self) -> Iterator[str]:
        """Repeat it in one way after the other; yields the status line while it does."""
        for self._shape, self._status in product(SHAPES, STATUS_LINES):
            yield self._status

    def refuse(self):
        """From now on, tell in words that the key is wrong."""
        self._shape, self._status = in_words, STATUS_LINES[1]

    def _repeat(self, request, connection):
        headers = [*(f"{name}: {KEY}" for name in HEADERS), f"Location: /{KEY}"]
        body, kind = orjson.dumps(self._shape(request)), "application/json"
        if b'"stream":true' in request and self._status == "200 OK":
            body = b"data: " + body + b"\n\ndata: {" + KEY.encode() + b"\n\n"
            kind = "text/event-stream"
        connection.sendall(self._wire.reply(body, kind, self._status, headers))
