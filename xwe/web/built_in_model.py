"""The built-in model server as a child of the web server's master process."""

import logging
import select
import subprocess
import sys
import threading
import time
from typing import IO
from urllib.parse import urlsplit

# Python starts and imports aiohttp in about a second; a busy small machine needs longer.
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0

# One that dies this soon after its start will not live longer next time.
SHORTEST_LIFE_S = 10.0


class BuiltInModel:
    """The model server that is used where no other is set, in a process of its own.

    It is started again when it dies, on the same port, since the workers know that address. Its
    standard input is a pipe that this process and its workers hold open, so that it ends when
    they have all gone, however they went.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._stopping = threading.Event()

    def start(self) -> str:
        """Start it, and return its base URL once it answers there.

        Raises:
            RuntimeError: it did not start.
        """
        base_url = self._launch(port=0)
        port = urlsplit(base_url).port or 0
        threading.Thread(target=self._watch, args=(port,), name="xwe-model", daemon=True).start()
        return base_url

    def stop(self) -> None:
        """End it and wait until it is gone. Idempotent."""
        self._stopping.set()
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _launch(self, port: int) -> str:
        process = subprocess.Popen(  # noqa: S603 - our own module, under our own interpreter
            [sys.executable, "-m", "xwe.cli.model_server", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C in the terminal is for the web server, whose running calls still need a model.
            start_new_session=True,
        )
        self._process, self._started_at = process, time.monotonic()
        assert process.stdout is not None  # noqa: S101 - it was asked for above
        base_url = _first_line(process.stdout)
        if not base_url:
            process.kill()
            process.wait()
            raise RuntimeError(
                "The built-in model server did not start. Set LLM_BASE_URL to use another one."
            )
        return base_url

    def _watch(self, port: int) -> None:
        while (process := self._process) is not None:
            process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - self._started_at < SHORTEST_LIFE_S:
                self._log.error("The built-in model server does not stay up: restart xwe.")
                return
            self._log.warning("The built-in model server ended and is started again.")
            try:
                self._launch(port)
            except (OSError, RuntimeError):
                self._log.exception("The built-in model server is gone: restart xwe.")
                return


def _first_line(stream: IO[bytes]) -> str:
    """What the child says when it listens; empty when it ends, or says nothing in time."""
    readable, _, _ = select.select([stream], [], [], START_TIMEOUT_S)
    return stream.readline().decode().strip() if readable else ""
