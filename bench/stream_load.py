"""Reads many streams at once, at little cost: the load generator of the streaming benchmark.

Every reader connects and asks once, all at the same instant, and reads to the end of the body.
Sockets are read in rounds, one every ROUND_S: that is how exact a time is, and it costs a fraction
of an event loop. What was read is looked at only when all is over: a stream counts when its status
is 200, all pieces are there in their order, and it says that it has finished and is done.

A reader's time runs from connecting to the last byte. Prints one JSON object.
"""

import argparse
import json
import select
import socket
import time

from load import nearest_rank
from upstream import piece_text

ROUND_S = 0.01
READ_BYTES = 1 << 20
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Reading:
    """One connection; what it has brought so far."""

    def __init__(self, port: int, request: bytes) -> None:
        self.started = time.perf_counter()
        self.seconds: float | None = None
        self.error: str | None = None
        self.parts: list[bytes] = []
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(request)
        self.socket.settimeout(0.0)

    def read(self) -> bool:
        """Take what there is; whether that was the last of it."""
        parts = self.parts
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            self.error = type(error).__name__
            return True
        if data:
            parts.append(data)
            tail = data if len(data) >= len(LAST_CHUNK) else b"".join(parts[-len(LAST_CHUNK) :])
            if not tail.endswith(LAST_CHUNK):
                return False
        self.seconds = time.perf_counter() - self.started
        return True

    def body(self) -> bytes:
        """What the reply says; a ValueError where there is none."""
        if self.error is not None or self.seconds is None:
            raise ValueError(self.error or "not over in time")
        head, _, body = b"".join(self.parts).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"status {head[9:12].decode()}")
        if b"\r\ntransfer-encoding: chunked" in head.lower():
            body = without_chunks(body)
            if body is None:
                raise ValueError("cut off")
        return body

    def fault(self, pieces: int) -> str | None:
        """What is wrong with the stream, None when it is whole."""
        try:
            body = self.body()
        except ValueError as error:
            return str(error)
        position = 0
        for number in range(pieces):
            position = body.find(f'{piece_text(number)}"'.encode(), position)
            if position < 0:
                return "text missing"
        if body.find(b"finish", position) < 0 or not body.endswith(b"data: [DONE]\n\n"):
            return "no end"
        return None


def without_chunks(body: bytes) -> bytes | None:
    """The content of a chunked body; None when it is not whole."""
    parts, position = [], 0
    while True:
        line_end = body.find(b"\r\n", position)
        if line_end < 0:
            return None
        size = int(body[position:line_end], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[line_end + 2 : line_end + 2 + size])
        position = line_end + 2 + size + 2


def read_all(
    port: int, request: bytes, streams: int, limit_s: float, spread_s: float = 0
) -> list[Reading]:
    """All at the same instant, or begun one after another within `spread_s` seconds."""
    poller = select.epoll()
    began = time.perf_counter()
    ends_at = began + limit_s
    readings, reading_of = [], {}
    while (reading_of or len(readings) < streams) and (now := time.perf_counter()) < ends_at:
        due = streams if now >= began + spread_s else int(streams * (now - began) / spread_s) + 1
        for _ in range(due - len(readings)):
            reading = Reading(port, request)
            readings.append(reading)
            reading_of[reading.socket.fileno()] = reading
            poller.register(reading.socket, select.EPOLLIN)
        for number, _ in poller.poll(ends_at - now if due == streams else 0, streams):
            if reading_of[number].read():
                poller.unregister(number)
                reading_of.pop(number).socket.close()
        time.sleep(ROUND_S)
    for reading in reading_of.values():
        reading.socket.close()
    return readings


def asking(port: int, path: str, body: str) -> bytes:
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--body", default='{"message": "Hello", "stream": true}')
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--pieces", type=int, default=100, help="how many are expected in each")
    parser.add_argument("--limit", type=float, default=60, help="seconds after which all is over")
    arguments = parser.parse_args()
    request = asking(arguments.port, arguments.path, arguments.body)
    cpu_s = time.process_time()
    readings = read_all(arguments.port, request, arguments.streams, arguments.limit)
    cpu_s = time.process_time() - cpu_s
    faults = [reading.fault(arguments.pieces) for reading in readings]
    seconds = sorted(
        reading.seconds for reading, fault in zip(readings, faults, strict=True) if fault is None
    )
    summary = {
        "whole": len(seconds),
        "median_s": nearest_rank(seconds, 0.5),
        "p99_s": nearest_rank(seconds, 0.99),
        "max_s": seconds[-1] if seconds else None,
        "faults": {fault: faults.count(fault) for fault in sorted({*faults} - {None})},
        "own_cpu_s": cpu_s,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
