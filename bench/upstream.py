"""A model server that costs next to nothing, so that what is measured is the client.

It speaks just enough HTTP/1.1: kept-alive connections, bodies with Content-Length, pipelined
requests answered in order. Every reply is encoded once, at the start. It prints its port and runs
until it is told to stop.

    POST …/chat/completions   a reply after --latency-ms; or, when the body asks for a stream,
                              --pieces server-sent events, one every --interval-ms; with --turn,
                              what a turn with one tool call asks for
    GET  anything             what it has done so far: {"requests": …, "pieces": …}
"""

import argparse
import asyncio
import json
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvloop

REPLY_TEXT = "The quick brown fox jumps over the lazy dog. " * 6
MODEL = "bench"
# A timer of whole milliseconds may ring a little early: as a share of the time between two pieces.
EARLY = 0.1


Pieces = tuple[bytes, ...]


@dataclass(frozen=True)
class Plan:
    """What the server does: the reply and the pieces of a stream as bytes, and the times.

    Attributes:
        pieces: for a request that streams, by what it holds.
    """

    reply: bytes
    stream_head: bytes
    pieces: Callable[[bytes], Pieces]
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


END = b"data: [DONE]\n\n"


def stream_pieces(count: int) -> Pieces:
    """`count` (two at least) events with text, then what ends a stream; each an HTTP chunk."""
    first, *middle, last = (piece_text(number) for number in range(count))
    return (
        event({"role": "assistant", "content": first}),
        *(event({"content": text}) for text in middle),
        event({"content": last}, "stop") + chunk(END) + chunk(b""),
    )


def turn_pieces(arguments: int, bridge: int, answer: int) -> Callable[[bytes], Pieces]:
    """The three replies of a turn: a call, what is said until its result is there, the answer.

    Each has so many pieces, and one more that ends it.
    """
    call, spoken, told = call_pieces(arguments), text_pieces(bridge), text_pieces(answer)

    def choose(request: bytes) -> Pieces:
        if b'"role":"tool"' in request:
            return told
        return call if b'"tools":' in request else spoken

    return choose


def text_pieces(count: int) -> Pieces:
    texts = (event({"content": piece_text(number)}) for number in range(count))
    return (*texts, end_piece("stop"))


def call_pieces(count: int) -> Pieces:
    opening = {"index": 0, "id": "call_1", "type": "function"}
    written = ['{"query": "', *(piece_text(number) for number in range(count - 2)), '"}']
    first, *others = ({"arguments": text} for text in written)
    return (
        event({"tool_calls": [{**opening, "function": {"name": "tool_0", **first}}]}),
        *(event({"tool_calls": [{"index": 0, "function": each}]}) for each in others),
        end_piece("tool_calls"),
    )


def end_piece(reason: str) -> bytes:
    return event({}, reason) + chunk(END) + chunk(b"")


def piece_text(number: int) -> str:
    """No two alike: LiteLLM gives up on a model that repeats itself."""
    return f" token{number}"


def event(delta: dict[str, object], finish_reason: str | None = None) -> bytes:
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
        self._pieces: Pieces = ()
        self._next_piece = 0
        self._began = 0.0
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
            self._pieces, self._next_piece = plan.pieces(request), 0
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
        self._began = self._loop.time()
        self._send_pieces()

    def _send_pieces(self) -> None:
        """Send all that are due: by the clock, so that a server that is late does not stay so."""
        pieces, interval_s = self._pieces, self._plan.interval_s
        first, after = self._next_piece, len(pieces)
        if interval_s > 0:
            due = int((self._loop.time() - self._began) / interval_s + EARLY) + 1
            after = min(after, max(due, first + 1))
        self._transport.write(b"".join(pieces[first:after]))
        self._next_piece = after
        self._counters.pieces += after - first
        if after == len(pieces):
            self._finish()
        else:
            due_at = self._began + after * interval_s
            self._timer = self._loop.call_at(due_at, self._send_pieces)

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
    parser.add_argument(
        "--turn",
        type=int,
        nargs=3,
        metavar=("CALL", "BRIDGE", "ANSWER"),
        help="pieces of a turn's three replies, instead of --pieces",
    )
    arguments = parser.parse_args()
    same = stream_pieces(arguments.pieces)
    plan = Plan(
        reply=whole_reply(),
        stream_head=b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        pieces=turn_pieces(*arguments.turn) if arguments.turn else lambda _: same,
        latency_s=arguments.latency_ms / 1000,
        interval_s=arguments.interval_ms / 1000,
    )
    uvloop.run(serve(plan, arguments.port))


if __name__ == "__main__":
    main()
