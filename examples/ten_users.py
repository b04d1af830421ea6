"""Ten users at once against a Flask app, over a real WSGI server on loopback.

Not an example itself: it measures `existing_app_before.py` and `existing_app_after.py`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import requests
from any_model import any_model
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

USERS = 10
MODEL_TAKES_S = 0.5
CITIES = ("Berlin", "Chengdu", "Dakar", "Lima", "Oslo", "Quito", "Rome", "Seoul", "Turin", "Xi'an")


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do nothing."""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve `app` with a thread per request, and return its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measure(create_app: Callable[[], Flask]) -> None:
    """Time one user, then ten at once."""
    with any_model(latency_s=MODEL_TAKES_S), served(create_app()) as address:

        def ask(city: str) -> int:
            reply = requests.post(f"{address}/api/guide", json={"city": city}, timeout=60)
            reply.raise_for_status()
            return len(reply.json()["answers"])

        ask("Warsaw")  # not timed: it opens the connections and starts whatever starts lazily
        begun = time.monotonic()
        answers = ask("Vienna")
        print(f"one user:           {time.monotonic() - begun:5.2f} s for {answers} model calls")
        begun = time.monotonic()
        with ThreadPoolExecutor(USERS) as users:
            answers = sum(users.map(ask, CITIES))
        print(f"ten users at once:  {time.monotonic() - begun:5.2f} s for {answers} model calls")
