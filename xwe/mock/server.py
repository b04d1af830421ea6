"""The model server: listening, routes and the API key."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from xwe.mock.behaviour import Behaviour
from xwe.mock.chat import Chat
from xwe.mock.embeddings import DEFAULT_DIMENSIONS, MAX_DIMENSIONS, embed, encode_base64
from xwe.mock.exchange import Exchange
from xwe.mock.protocol import (
    DEMO_MODEL,
    EMBEDDING_MODEL,
    ErrorReply,
    encode_embeddings,
    encode_model,
    encode_models,
)
from xwe.mock.recorder import RequestLog
from xwe.mock.rules import Rule
from xwe.mock.tokens import estimate_tokens
from xwe.mock.validation import find_embedding_refusal

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
# A thousand clients may connect at once; a refused connection would look like a fault.
_BACKLOG: Final = 4096
# A connection is accepted in one turn of the loop, read in the next, and so on; plus a margin.
_TURNS_OF_A_REQUEST: Final = 10
_MODELS: Final = (DEMO_MODEL, EMBEDDING_MODEL)

Handler = Callable[[Exchange, Any], Awaitable[web.StreamResponse]]


def base_url(host: str, port: int) -> str:
    """The API's base URL, without `/chat/completions`."""
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


class ModelServer:
    """An OpenAI-compatible server on the running loop.

    Args:
        behaviour: the default behaviour of chat requests.
        api_key: the key that clients must send; None accepts everyone.
        log: where requests are recorded; None records nothing.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        api_key: str | None = None,
        log: RequestLog | None = None,
    ) -> None:
        self._chat = Chat(behaviour or Behaviour())
        self._authorization = None if api_key is None else f"Bearer {api_key}".encode()
        self._log = log
        self._started_at = int(time.time())
        self._serving: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._runner: web.ServerRunner | None = None
        self._routes: dict[str, tuple[str, Handler]] = {
            "/health": ("GET", self._health),
            "/v1/chat/completions": ("POST", self._chat.serve),
            "/v1/embeddings": ("POST", _embeddings),
            "/v1/models": ("GET", self._models),
            **{f"/v1/models/{name}": ("GET", self._models) for name in _MODELS},
        }

    def script(self, *behaviours: Behaviour) -> None:
        """Use these behaviours for the next chat requests, one each. Thread-safe."""
        self._chat.script(*behaviours)

    def follow(self, *rules: Rule) -> None:
        """Replace the rules; a request is answered by the first that matches it. Thread-safe."""
        self._chat.follow(*rules)

    def forget_script(self) -> None:
        """Drop the script and the rules. Thread-safe."""
        self._chat.forget_script()

    async def take_in(self) -> None:
        """Accept the requests whose bytes have already reached this machine's sockets."""
        for _ in range(_TURNS_OF_A_REQUEST):
            await asyncio.sleep(0)

    async def start(self, host: str, port: int) -> int:
        """Start listening; returns the port, a free one if `port` is 0.

        Raises:
            OSError: the address is not available.
        """
        server = web.Server(
            self._serve, request_factory=_make_request, handler_cancellation=True, access_log=None
        )
        self._stopping = False
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=_BACKLOG)
        await site.start()
        return int(site.port)

    async def stop(self) -> None:
        """Stop listening, end open requests, close all connections. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._stopping = True  # also for a request that has arrived but is not served yet
        for task in self._serving:
            task.cancel()
        await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is None or self._stopping:
            raise asyncio.CancelledError
        self._serving.add(task)
        exchange = Exchange(request, self._log)
        try:
            return await self._route(exchange)
        except (asyncio.CancelledError, ConnectionError):
            if not self._stopping:
                exchange.connection_lost()
            # A failed write is not our error: end like any request whose client left.
            raise asyncio.CancelledError from None
        finally:
            self._serving.discard(task)

    async def _route(self, exchange: Exchange) -> web.StreamResponse:
        request = exchange.request
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return await exchange.refuse(ErrorReply("The body is too large.", status=413))
        body = _decoded(raw)
        exchange.arrived(body)
        method, handler = self._routes.get(request.path, ("", None))
        refusal = self._refusal(request, method)
        if refusal is not None or handler is None:
            return await exchange.refuse(refusal or ErrorReply("Unknown path.", status=404))
        return await handler(exchange, body)

    def _refusal(self, request: web.BaseRequest, method: str) -> ErrorReply | None:
        """Why a request does not reach its route; None when it does."""
        path = request.path
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if (
            self._authorization is not None
            and path != "/health"
            and not hmac.compare_digest(given, self._authorization)
        ):
            message = "Incorrect API key provided, or none."
            return ErrorReply(message, code="invalid_api_key", status=401)
        if not method:
            if path.startswith("/v1/models/"):
                message = f"The model {path[11:]:.100} does not exist."
                return ErrorReply(message, param="model", code="model_not_found", status=404)
            return ErrorReply(f"Unknown path {path:.200}.", code="unknown_url", status=404)
        if request.method != method:
            return ErrorReply(
                f"{request.method:.20} cannot be used here; use {method}.", status=405
            )
        return None

    async def _health(self, exchange: Exchange, _body: Any) -> web.StreamResponse:
        return await exchange.send(200, orjson.dumps({"status": "ok", "model": DEMO_MODEL}))

    async def _models(self, exchange: Exchange, _body: Any) -> web.StreamResponse:
        name = exchange.request.path.removeprefix("/v1/models").removeprefix("/")
        if name:
            return await exchange.send(200, encode_model(name, self._started_at))
        return await exchange.send(200, encode_models(_MODELS, self._started_at))


async def _embeddings(exchange: Exchange, body: Any) -> web.StreamResponse:
    refusal = find_embedding_refusal(body, MAX_DIMENSIONS)
    if refusal is not None:
        return await exchange.refuse(refusal)
    given = body["input"]
    # A list of numbers is one text in tokens, a list of lists several.
    items = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    texts = [item if isinstance(item, str) else repr(item) for item in items]
    dimensions = body.get("dimensions") or DEFAULT_DIMENSIONS
    vectors: list[Any] = [embed(text, dimensions) for text in texts]
    if body.get("encoding_format") == "base64":
        vectors = [encode_base64(vector) for vector in vectors]
    tokens = sum(map(estimate_tokens, texts))
    return await exchange.send(200, encode_embeddings(vectors, body["model"], tokens))


def _decoded(raw: bytes) -> Any:
    """A body's JSON, or its bytes if they are not JSON."""
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return raw


def _make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES
    )
