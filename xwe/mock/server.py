"""The model server: routes, and how a chat request becomes a reply."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from xwe.errors import InvalidRequestError
from xwe.mock.behaviour import Behaviour
from xwe.mock.exchange import Exchange
from xwe.mock.protocol import (
    DEMO_MODEL,
    DONE,
    ChunkEncoder,
    Envelope,
    Reply,
    ReplyToolCall,
    encode_completion,
    encode_error,
    reply_deltas,
)
from xwe.mock.recorder import ReceivedRequest, RequestLog
from xwe.mock.tokens import estimate_prompt_tokens, split_tokens

JSON: Final = "application/json"
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
LINE_ENDS: Final = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


class ModelServer:
    """An OpenAI-compatible server on the running loop.

    Args:
        behaviour: for every chat request that no script and no "mock" object changes.
        api_key: what a client must send; None lets everyone in.
        log: where requests are remembered; None remembers nothing.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        api_key: str | None = None,
        log: RequestLog | None = None,
    ) -> None:
        self._behaviour = behaviour or Behaviour()
        self._api_key = api_key
        self._log = log
        self._scripted: deque[Behaviour] = deque()
        self._ids = itertools.count(1)
        self._serving: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._runner: web.ServerRunner | None = None
        self._routes: dict[tuple[str, str], Callable[..., Awaitable[web.StreamResponse]]] = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("GET", "/health"): self._health,
        }

    def script(self, *behaviours: Behaviour) -> None:
        """Behave so for the next chat requests, one each, and then as before. Thread-safe."""
        self._scripted.extend(behaviours)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is a free one where `port` is 0."""
        server = web.Server(self._serve, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=2048)
        await site.start()
        return int(site.port)

    async def stop(self) -> None:
        """Stop listening, end what is being served, close every connection. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._stopping = True
        for task in self._serving:
            task.cancel()
        await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - aiohttp runs handlers in tasks
        self._serving.add(task)
        received: ReceivedRequest | None = None
        try:
            raw = await request.read()
            body = _decoded(raw)
            if self._log is not None:
                received = ReceivedRequest(request.path, request.headers, body)
                self._log.arrived(received)
            handler = self._routes.get((request.method, request.path))
            if handler is None:
                response: web.StreamResponse = _error(404, f"Unknown path {request.path}.")
            else:
                response = await handler(request, body)
            await response.prepare(request)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            if received is not None and self._log is not None and not self._stopping:
                self._log.disconnected(received)
            raise
        else:
            if received is not None and self._log is not None:
                self._log.finished(received)
            return response
        finally:
            self._serving.discard(task)

    async def _health(self, _request: web.BaseRequest, _body: Any) -> web.StreamResponse:
        return web.json_response({"status": "ok", "model": DEMO_MODEL})

    async def _chat(self, request: web.BaseRequest, body: Any) -> web.StreamResponse:
        if not isinstance(body, dict):
            return _error(400, "The body is not a JSON object.")
        behaviour = self._scripted.popleft() if self._scripted else self._behaviour
        if "mock" in body:
            try:
                behaviour = behaviour.with_overrides(body["mock"])
            except InvalidRequestError as refusal:
                return _error(400, refusal.message, param=refusal.field)
        exchange = Exchange(request, behaviour.write_bytes)
        if behaviour.fault == "no_headers":
            await exchange.hang()
        if behaviour.latency_s:
            await asyncio.sleep(behaviour.latency_s)
        if behaviour.fault == "status":
            headers = (
                {"Retry-After": f"{behaviour.retry_after_s:g}"}
                if behaviour.retry_after_s is not None
                else {}
            )
            return _error(
                behaviour.status, "As asked for.", code=behaviour.error_code, headers=headers
            )
        if behaviour.fault == "reset" and not behaviour.after_pieces:
            await exchange.reset()
        reply = _reply(body, behaviour)
        options = body.get("stream_options") or {}
        envelope = Envelope(
            f"chatcmpl-demo{next(self._ids):08d}",
            int(time.time()),
            body.get("model", DEMO_MODEL),
            bool(options.get("include_usage")),
        )
        if body.get("stream"):
            return await _stream(exchange, behaviour, envelope, reply)
        return web.Response(body=encode_completion(envelope, reply), content_type=JSON)


async def _stream(
    exchange: Exchange, behaviour: Behaviour, envelope: Envelope, reply: Reply
) -> web.StreamResponse:
    encoder = ChunkEncoder(envelope)
    end = LINE_ENDS[behaviour.line_end] * 2
    deltas = reply_deltas(reply, behaviour.tool_arguments, behaviour.tool_call_shape)
    pieces = [b"data: " + encoder.delta(delta) + end for delta in deltas.encoded]
    opening = b"data: " + encoder.opening() + end
    closing = b"data: " + encoder.finish(reply.finish_reason or "stop") + end
    if envelope.with_usage:
        closing += b"data: " + encoder.usage(reply.usage()) + end
    closing += b"data: " + DONE + end
    response = await exchange.begin("text/event-stream; charset=utf-8")
    await exchange.write(opening)
    fault, after = behaviour.fault, behaviour.after_pieces
    if fault is not None:
        pieces = pieces[:after]
    await exchange.write_paced(pieces, deltas.due, behaviour.tokens_per_s)
    if fault == "stall":
        await exchange.hang()
    elif fault == "reset":
        await exchange.reset()
    elif fault == "close":
        await exchange.close()
    elif fault is None:
        await exchange.write(closing)
    return response


def _reply(body: dict[str, Any], behaviour: Behaviour) -> Reply:
    calls = tuple(
        ReplyToolCall(call.id or f"call_demo{index}", call.name, call.arguments)
        for index, call in enumerate(behaviour.scripted_calls or ())
    )
    text = behaviour.text
    if text is None and not calls:
        text = "I am xwe's built-in demo model, not a real language model. " * 2
    finish = "tool_calls" if calls else "stop"
    limit = body.get("max_tokens") or behaviour.length
    if text and limit is not None and not calls:
        tokens = split_tokens(text)
        while behaviour.length and len(tokens) < behaviour.length:
            tokens += split_tokens(text)
        if len(tokens) > limit:
            finish = "length" if body.get("max_tokens") else "stop"
        text = "".join(tokens[:limit])
    return Reply(
        text=text,
        finish_reason=behaviour.finish_reason or finish,
        prompt_tokens=estimate_prompt_tokens(body.get("messages", ())),
        tool_calls=calls,
        reasoning=behaviour.reasoning,
    )


def _decoded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return raw


def _error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    body = encode_error(status, message, param=param, code=code)
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)
