"""A model server that costs next to nothing, so that what is measured is the client.

It speaks just enough HTTP/1.1: kept-alive connections, bodies with Content-Length, pipelined
requests answered in order. Every reply is encoded once, at the start. It prints its port and runs
until it is told to stop.

    POST …/chat/completions   a reply after --latency-ms; or, when the body asks for a stream,
                              --pieces server-sent events, one every --interval-ms
    GET  anything             what it has done so far: {"requests": …, "pieces": …}
"""

import argparse
import asyncio
import json
import signal
import socket
from dataclasses import dataclass

import uvloop

REPLY_TEXT = "The quick brown fox jumps over the lazy dog. " * 6
MODEL = "bench"


@dataclass(frozen=True)
class Plan:
    """What the server does: the reply as bytes, the pieces of a stream as bytes, and the times."""

    reply: bytes
    stream_head: bytes
    pieces: tuple[bytes, ...]
    latency_s: float
    interval_s: float


@dataclass
class Counters:
    requests: int = 0
    pieces: int = 0


def whole_reply() -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": REPLY_TEXT},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 60, "total_tokens": 72},
    }
    return response(json.dumps(body).encode())


def response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def stream_pieces(count: int) -> tuple[bytes, ...]:
    """`count` (two at least) events with text, then what ends a stream; each an HTTP chunk."""
    first, *middle, last = (piece_text(number) for number in range(count))
    end = chunk(b"data: [DONE]\n\n") + chunk(b"")
    return (
        event({"role": "assistant", "content": first}),
        *(event({"content": text}) for text in middle),
        event({"content": last}, "stop") + end,
    )


def piece_text(number: int) -> str:
    """No two alike: LiteLLM gives up on a model that repeats itself."""
    return f" token{number}"


def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return chunk(f"data: {json.dumps(body)}\n\n".encode())


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class ModelConnection(asyncio.Protocol):
    """One kept-alive connection; a request that arrives early waits for its turn."""

    def __init__(self, plan: Plan, counters: Counters) -> None:
        self._plan = plan
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._answering = False
        self._next_piece = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take_requests()

    def _take_requests(self) -> None:
        while not self._answering:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            end = head_end + 4 + content_length(self._buffer[:head_end])
            if len(self._buffer) < end:
                return
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            self._answer(request, head_end)

    def _answer(self, request: bytes, head_end: int) -> None:
        if request.startswith(b"GET "):
            self._transport.write(response(json.dumps(vars(self._counters)).encode()))
            return
        self._counters.requests += 1
        self._answering = True
        plan = self._plan
        if is_streamed(request, head_end):
            self._next_piece = 0
            self._later(plan.latency_s, self._begin_stream)
        else:
            self._later(plan.latency_s, self._send_reply)

    def _later(self, delay_s: float, step) -> None:
        if delay_s > 0:
            self._timer = self._loop.call_later(delay_s, step)
        else:
            step()

    def _send_reply(self) -> None:
        self._transport.write(self._plan.reply)
        self._finish()

    def _begin_stream(self) -> None:
        self._transport.write(self._plan.stream_head)
        self._send_piece()

    def _send_piece(self) -> None:
        pieces = self._plan.pieces
        while True:
            self._transport.write(pieces[self._next_piece])
            self._next_piece += 1
            self._counters.pieces += 1
            if self._next_piece == len(pieces):
                self._finish()
                return
            if self._plan.interval_s > 0:
                self._timer = self._loop.call_later(self._plan.interval_s, self._send_piece)
                return

    def _finish(self) -> None:
        self._answering = False
        if self._buffer:
            self._loop.call_soon(self._take_requests)


def content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    start += len(b"\r\ncontent-length:")
    end = lowered.find(b"\r\n", start)
    return int(lowered[start : end if end >= 0 else None])


def is_streamed(request: bytes, head_end: int) -> bool:
    return (
        request.find(b'"stream":true', head_end) >= 0
        or request.find(b'"stream": true', head_end) >= 0
    )


async def serve(plan: Plan, port: int) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    counters = Counters()
    server = await loop.create_server(
        lambda: ModelConnection(plan, counters), "127.0.0.1", port, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--latency-ms", type=float, default=0, help="before a reply begins")
    parser.add_argument("--pieces", type=int, default=100, help="events in a stream")
    parser.add_argument("--interval-ms", type=float, default=0, help="between two events")
    arguments = parser.parse_args()
    plan = Plan(
        reply=whole_reply(),
        stream_head=b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        pieces=stream_pieces(arguments.pieces),
        latency_s=arguments.latency_ms / 1000,
        interval_s=arguments.interval_ms / 1000,
    )
    uvloop.run(serve(plan, arguments.port))


if __name__ == "__main__":
    main()
