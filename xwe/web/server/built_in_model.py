"""The built-in model server, run as a child of the web server's master process."""

import logging
import os
import select
import subprocess
import sys
import threading
import time
from typing import IO
from urllib.parse import urlsplit

# Python starts and imports aiohttp in about a second; a small, busy machine needs longer.
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0

# A noticeable but tolerable wait, and about the speed of reading.
PACE = ("--latency", "0.3", "--tokens-per-second", "40")

# A server that died this often, this soon after its start, will not live longer next time.
SHORTEST_LIFE_S = 10.0
MOST_SHORT_LIVES = 3


class BuiltInModel:
    """`xwe mock` in a process of its own, for when no other model is configured.

    When it dies it is restarted on the same port, because the workers know that address. It exits
    by itself once this process is gone, whatever the reason.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> str:
        """Start it, and return its base URL once it is listening.

        Raises:
            RuntimeError: it did not start.
        """
        self._process, base_url = _launch(port=0)
        port = urlsplit(base_url).port or 0
        self._watcher = threading.Thread(
            target=self._watch, args=(self._process, port), name="xwe-model", daemon=True
        )
        self._watcher.start()
        return base_url

    def stop(self) -> None:
        """Stop it and wait for its exit. Idempotent."""
        self._stopping.set()
        if self._process is None or self._watcher is None:
            return
        self._process.terminate()
        self._watcher.join(STOP_TIMEOUT_S)
        if self._watcher.is_alive():
            self._process.kill()
            self._watcher.join()

    def _watch(self, process: subprocess.Popen[bytes], port: int) -> None:
        short_lives = 0
        while True:
            started_at = time.monotonic()
            with process:  # waits for its exit and closes its pipe
                if self._stopping.is_set():
                    process.terminate()
                process.wait()
            if self._stopping.is_set():
                return
            is_short = time.monotonic() - started_at < SHORTEST_LIFE_S
            short_lives = short_lives + 1 if is_short else 0
            if short_lives >= MOST_SHORT_LIVES:
                self._log.error("The built-in model server keeps exiting. Restart xwe.")
                return
            self._log.warning("The built-in model server exited and is being restarted.")
            try:
                self._process, _ = _launch(port)
            except (OSError, RuntimeError):
                self._log.exception(
                    "The built-in model server could not be restarted. Restart xwe."
                )
                return
            process = self._process


def _launch(port: int) -> tuple[subprocess.Popen[bytes], str]:
    """A new process that is listening, and its base URL."""
    process = subprocess.Popen(  # noqa: S603 - our own command and interpreter
        [
            *(sys.executable, "-m", "xwe.cli", "mock", *PACE),
            *("--port", str(port), "--parent-pid", str(os.getpid())),
        ],
        stdout=subprocess.PIPE,
        # Ctrl-C in the terminal stops the web server, whose running calls still need the model.
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - requested above
    first_line = _first_line(process.stdout)
    if not first_line:
        process.kill()
        with process:  # closes its pipe
            raise RuntimeError(
                "The built-in model server did not start. Set LLM_BASE_URL to use another one."
            )
    return process, first_line.split()[-1]  # "... listens on http://127.0.0.1:41234/v1"


def _first_line(stream: IO[bytes]) -> str:
    """The child's first line, printed once it is listening; empty if it exits or times out."""
    readable, _, _ = select.select([stream], [], [], START_TIMEOUT_S)
    return stream.readline().decode().strip() if readable else ""
