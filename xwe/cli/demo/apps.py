"""Three Flask apps with the same view: blocking, under `async_route`, and under `AsyncBridge`."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

from xwe import AsyncBridge, LLMClient, async_route

# An answer that is not there by then will not come.
LONGEST_ANSWER_S = 120.0


def blocking_app(endpoint: str, behaviour: Mapping[str, Any]) -> Flask:
    """The app as it was before: the view's thread waits for the model."""
    app = _app()

    @app.post("/chat")
    def chat() -> dict[str, str]:
        question = {"role": "user", "content": request.get_json()["message"]}
        body = {"model": "demo", "messages": [question], "mock": behaviour}
        reply = requests.post(endpoint, json=body, timeout=LONGEST_ANSWER_S)
        reply.raise_for_status()
        return {"reply": reply.json()["choices"][0]["message"]["content"]}

    return app


def async_route_app(client: LLMClient, behaviour: Mapping[str, Any]) -> Flask:
    """An `async def` view, decorated."""
    app = _app()

    @app.post("/chat")
    @async_route
    async def chat() -> dict[str, str]:
        reply = await client.complete_async(
            request.get_json()["message"], extra={"mock": behaviour}
        )
        return {"reply": reply.text}

    return app


def bridge_app(client: LLMClient, behaviour: Mapping[str, Any]) -> Flask:
    """An `async def` view as it stands; the app is bridged as a whole."""
    app = _app()
    AsyncBridge(app)

    @app.post("/chat")
    async def chat() -> dict[str, str]:
        reply = await client.complete_async(
            request.get_json()["message"], extra={"mock": behaviour}
        )
        return {"reply": reply.text}

    return app


def _app() -> Flask:
    app = Flask("demo")
    # A failure reaches the user who asked; after Ctrl-C nobody wants its traceback.
    app.logger.disabled = True
    return app


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """No line for each request."""


@contextmanager
def served(app: Flask, *, threaded: bool) -> Iterator[int]:
    """Serve `app` on loopback, with one thread or with one for each open request; its port."""
    server = make_server("127.0.0.1", 0, app, threaded=threaded, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    # Not in a `finally`: after Ctrl-C the process ends, and requests under way must not hold it up.
    server.shutdown()
    thread.join()
    server.server_close()
