"""A drill: one answer, read by two, left, joined again and stopped; the event ids of each.

    python bench/drills/joined.py

Starts `xwe run` on a model server of its own and prints which numbered events each reader got.
Fails unless nothing is missing and nothing comes twice.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

from xwe.mock import Behaviour, MockServer

ANSWER = Behaviour(text="word " * 200, tokens_per_s=40)
PATIENCE_S = 20.0


class Reader:
    """One connection to the answer."""

    def __init__(self, port: int, method: str, path: str, body: bytes = b"", after: int = 0):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        headers = {"Last-Event-ID": str(after)} if after else {}
        self._connection.request(method, path, body or None, headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        self.stream_id = self._response.getheader("X-Generation-Id")
        self.numbers: list[int] = []
        self.last = ""

    def read(self, count: int | None = None) -> list[int]:
        """Take so many more events, or all to the end; their numbers."""
        taken: list[int] = []
        while count is None or len(taken) < count:
            line = self._response.readline()
            if not line:
                break
            if line.startswith(b"id: "):
                taken.append(int(line[4:]))
            elif line.startswith(b"data: {"):
                self.last = json.loads(line[6:])["type"]
        self.numbers += taken
        return taken

    def leave(self) -> None:
        self._connection.close()
        self._response.close()


def span(numbers: list[int]) -> str:
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" + ("" if whole else " (NOT in one piece)")


def drill(port: int) -> None:
    ada = Reader(port, "POST", "/api/llm/stream", b'{"message": "hi"}')
    events = f"/api/generations/{ada.stream_id}/events"
    print("Ada asks, and reads events       ", span(ada.read(20)))
    bob = Reader(port, "GET", events)
    print("Bob joins, and reads events      ", span(bob.read(30)))
    ada.leave()
    print("Ada leaves after event           ", ada.numbers[-1])
    bob.read(20)
    again = Reader(port, "GET", events, after=ada.numbers[-1])
    print("Ada is back, and reads events    ", span(again.read(10)))
    stop = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    stop.request("POST", f"/api/generations/{ada.stream_id}/stop")
    assert stop.getresponse().status == 200
    bob.read()
    again.read()
    print("the answer is stopped; Bob has   ", span(bob.numbers), "- the last is", bob.last)
    whole = ada.numbers + again.numbers
    print("and Ada, over both connections   ", span(whole), "- the last is", again.last)
    assert whole == bob.numbers == list(range(1, bob.numbers[-1] + 1))
    assert bob.last == again.last == "abort"


def main() -> None:
    with MockServer(ANSWER) as model, tempfile.TemporaryDirectory() as elsewhere:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        server = subprocess.Popen(
            [sys.executable, "-m", "xwe.cli", "run", "--port", "0"],
            cwd=elsewhere,
            env=kept
            | {
                "LLM_BASE_URL": model.base_url,
                "LLM_PROVIDER": "mock",
                "LOG_LEVEL": "WARNING",
                "PYTHONUNBUFFERED": "1",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            drill(int(re.search(r":(\d+)", server.stdout.readline().partition("//")[2])[1]))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
            server.stdout.close()


if __name__ == "__main__":
    main()
