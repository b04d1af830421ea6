"""A load generator that costs little, so that it does not compete with what it measures.

Two ways to load a server, both bounded in time:

    burst   every user connects and sends one request, all at the same instant
    loop    every user keeps one connection and sends the next request when it has its reply;
            users start spread over --spread seconds, and replies that arrive within the
            --seconds after the --warm-up count

A user's time runs from the first attempt (connecting included) to the last byte of the reply.
Prints one JSON object.
"""

import argparse
import asyncio
import json
import math
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop


@dataclass
class Tally:
    """What happened; times in seconds.

    Attributes:
        answered: whole replies, whatever their status and whenever they came.
        latencies_s: of the replies that count: status 200, and in a loop within the window.
        statuses: how many replies had which HTTP status.
        errors: connections refused, reset or closed in mid-reply, by name.
        unanswered: users who still waited when time was up.
    """

    answered: int = 0
    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0


class ReplyReader(asyncio.Protocol):
    """One connection: sends a request, resolves a future with (status, stays open)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._reply: asyncio.Future[tuple[int, bool]] | None = None
        self._transport: asyncio.Transport | None = None
        self.is_open = False

    def connection_made(self, transport) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("closed before its reply"))

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bool]]:
        self._buffer = b""
        self._reply = self._loop.create_future()
        self._transport.write(request)
        return self._reply

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        start = head.find(b"\r\ncontent-length:")
        assert start >= 0, f"only replies with Content-Length are read: {head!r}"
        start += len(b"\r\ncontent-length:")
        end = head.find(b"\r\n", start)
        if len(self._buffer) < head_end + 4 + int(head[start : end if end >= 0 else None]):
            return
        if self._reply is not None and not self._reply.done():
            self._reply.set_result((int(head[9:12]), b"\r\nconnection: close" not in head))


class Load:
    """The users and what they have in common."""

    def __init__(self, port: int, requests: Sequence[bytes], window: tuple[float, float]) -> None:
        self._port = port
        self._requests = requests
        self._window = window
        self.tally = Tally()

    async def ask_once(self, user: int) -> None:
        """One user of a burst."""
        started = time.perf_counter()
        try:
            reader = await self._connect()
            await self._ask(reader, user, started)
            reader.close()
        except OSError as error:
            self.tally.errors[type(error).__name__] += 1

    async def keep_asking(self, user: int, begin_at: float) -> None:
        """One user of a loop; the last request is sent before the window closes."""
        await asyncio.sleep(max(0.0, begin_at - time.perf_counter()))
        reader = None
        while (started := time.perf_counter()) < self._window[1]:
            try:
                if reader is None or not reader.is_open:
                    reader = await self._connect()
                if not await self._ask(reader, user, started):
                    reader.close()
                    reader = None
            except OSError as error:
                self.tally.errors[type(error).__name__] += 1
                reader = None
                await asyncio.sleep(0.05)  # a server that refuses must not be hammered
        if reader is not None:
            reader.close()

    async def _connect(self) -> ReplyReader:
        loop = asyncio.get_running_loop()
        _, reader = await loop.create_connection(ReplyReader, "127.0.0.1", self._port)
        return reader

    async def _ask(self, reader: ReplyReader, user: int, started: float) -> bool:
        request = self._requests[user % len(self._requests)]
        status, stays_open = await reader.send(request)
        self.tally.answered += 1
        self.tally.statuses[status] += 1
        now = time.perf_counter()
        if status == 200 and self._window[0] <= now < self._window[1]:
            self.tally.latencies_s.append(now - started)
        return stays_open


def _requests(arguments: argparse.Namespace) -> list[bytes]:
    """Each user's request; one for all unless a file has a path and headers for each."""
    if arguments.requests is None:
        return [_request(arguments, arguments.path, {})]
    with open(arguments.requests, encoding="utf-8") as lines:  # noqa: PTH123 - no other use of paths
        return [_request(arguments, *json.loads(line)) for line in lines]


def _request(arguments: argparse.Namespace, path: str, headers: dict[str, str]) -> bytes:
    body = arguments.body.encode()
    given = {
        "Host": f"127.0.0.1:{arguments.port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers,
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def run(arguments: argparse.Namespace) -> dict:
    requests = _requests(arguments)
    started, cpu_s = time.perf_counter(), time.process_time()
    users = range(arguments.users)
    if arguments.mode == "burst":
        load = Load(arguments.port, requests, (started, math.inf))
        tasks = [asyncio.ensure_future(load.ask_once(user)) for user in users]
    else:
        opens = started + arguments.warm_up
        load = Load(arguments.port, requests, (opens, opens + arguments.seconds))
        step_s = arguments.spread / arguments.users
        tasks = [
            asyncio.ensure_future(load.keep_asking(user, started + user * step_s)) for user in users
        ]
    _, waiting = await asyncio.wait(tasks, timeout=arguments.limit)
    load.tally.unanswered = len(waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            raise task.exception()
    return summary(load.tally) | {"own_cpu_s": time.process_time() - cpu_s}


def summary(tally: Tally) -> dict:
    latencies_s = sorted(tally.latencies_s)
    return {
        "answered": tally.answered,
        "counted": len(latencies_s),
        "median_s": nearest_rank(latencies_s, 0.5),
        "p99_s": nearest_rank(latencies_s, 0.99),
        "max_s": latencies_s[-1] if latencies_s else None,
        "not_200": sum(n for status, n in tally.statuses.items() if status != 200),
        "statuses": dict(tally.statuses),
        "errors": dict(tally.errors),
        "unanswered": tally.unanswered,
    }


def nearest_rank(ascending: list[float], share: float) -> float | None:
    if not ascending:
        return None
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=["burst", "loop"])
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--body", default='{"message": "Hello"}')
    parser.add_argument("--requests", help="a file: for each user a line, [path, {header: value}]")
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5, help="loop: how long to measure")
    parser.add_argument("--warm-up", type=float, default=2, help="loop: seconds not counted")
    parser.add_argument("--spread", type=float, default=1, help="loop: seconds over which to start")
    parser.add_argument("--limit", type=float, default=60, help="seconds after which all is over")
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
