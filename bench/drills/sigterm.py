"""A drill: SIGTERM under fifty streams, with every setting at its default (20 s of drain).

    python bench/drills/sigterm.py

Half of the answers would end within 10 s, the others take a minute. Prints what each reader saw,
how new work was turned away and how long the process took to end; fails unless every stream
finished or was told of the shutdown, and the process was gone within 25 s.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xwe.mock import Behaviour, MockServer

STREAMS = 50
SHORT = Behaviour(text="word " * 50, tokens_per_s=10)
LONG = Behaviour(text="word " * 300, tokens_per_s=5)
GONE_WITHIN_S = 25.0
PATIENCE_S = 60.0


def begin(port: int) -> http.client.HTTPResponse:
    """A stream whose first words have come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", "/api/llm/stream", b'{"message": "hi"}')
    response = connection.getresponse()
    assert response.status == 200, response.status
    while b'"text-delta"' not in response.readline():
        pass
    return response


def read_on(response: http.client.HTTPResponse) -> tuple[str, float]:
    """The last event of a stream, and when it came to its end."""
    last = "nothing"
    try:
        for line in response:
            if line.startswith(b"data: {"):
                last = json.loads(line[6:])["type"]
    except (ConnectionError, http.client.IncompleteRead):
        last = f"cut after {last}"
    return last, time.monotonic()


def knock(port: int) -> str:
    """How a new client is turned away."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("POST", "/api/llm/chat", b'{"message": "hi"}')
            status = connection.getresponse().status
            if status != 200:  # one that was accepted before the signal arrived is still served
                return str(status)
        except ConnectionError as error:
            return type(error).__name__
        finally:
            connection.close()


def drill(model: MockServer) -> None:
    """Run it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environ = kept | {"LLM_PROVIDER": "mock", "LLM_BASE_URL": model.base_url, "PORT": "0"}
    with tempfile.TemporaryDirectory() as directory, (Path(directory) / "log").open("w+") as log:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", "xwe.cli", "run"],
            cwd=directory,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            port = int(re.search(r":(\d+)", server.stdout.readline())[1])
            model.script(*(SHORT if number % 2 else LONG for number in range(STREAMS)))
            with ThreadPoolExecutor(STREAMS) as pool:
                streams = list(pool.map(begin, [port] * STREAMS))
                reading = [pool.submit(read_on, stream) for stream in streams]
                signalled = time.monotonic()
                server.send_signal(signal.SIGTERM)
                refusal, refused_s = knock(port), time.monotonic() - signalled
                seen = [future.result() for future in reading]
            status = server.wait(PATIENCE_S)
            took_s = time.monotonic() - signalled
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
        log.seek(0)
        written = log.read()
    show(seen, signalled)
    print(f"new work: {refusal} after {refused_s:.3f} s")
    print(f"exit: status {status} after {took_s:.1f} s")
    assert {last for last, _ in seen} <= {"finish", "data-shutdown"}
    assert refusal != "200"
    assert (status, took_s < GONE_WITHIN_S) == (0, True)
    assert "Traceback" not in written, written[-3000:]


def show(seen: list[tuple[str, float]], signalled: float) -> None:
    """A line for each reader, and the sums."""
    for number, (last, at) in enumerate(seen, 1):
        print(f"reader {number:2}: {last} after {at - signalled:.1f} s")
    for last, count in Counter(last for last, _ in seen).items():
        times = [at - signalled for kind, at in seen if kind == last]
        print(f"{count} readers: {last}, after {min(times):.1f} to {max(times):.1f} s")


if __name__ == "__main__":
    with MockServer() as server:
        drill(server)
