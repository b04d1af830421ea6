"""The ways an upstream can fail, on the real wire."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from aiohttp import web

from xwe.mock.behaviour import Behaviour
from xwe.mock.delivery import Delivery, grouped
from xwe.mock.exchange import Exchange
from xwe.mock.protocol import ErrorReply, encode_error

_DEFAULT_SIZES: Final[Mapping[str, int]] = {"huge_body": 100_000_000, "huge_line": 10_000_000}
# Written piece by piece: a huge reply must not be huge in our own memory.
_BLOCK: Final = b"x" * 65_536

_STATUS_MESSAGES: Final[Mapping[int, str]] = {
    401: "Incorrect API key provided.",
    403: "This key may not do that.",
    404: "The model does not exist, or this key may not use it.",
    429: "Rate limit reached; please slow down.",
    500: "The server had an error while processing the request.",
    502: "Bad gateway.",
    503: "The engine is overloaded; please try again later.",
    529: "Overloaded.",
}
_STATUS_CODES: Final[Mapping[int, str]] = {
    401: "invalid_api_key",
    404: "model_not_found",
    429: "rate_limit_exceeded",
}
_HTML: Final = (
    "<!DOCTYPE html>\n<html><head><title>Please wait</title></head>"
    "<body><h1>Checking your browser</h1></body></html>\n"
)
_MALFORMED: Final = '{"id": "chatcmpl-demo", "choices": [{"index": 0, '
_WRONG_TYPE: Final = orjson.dumps({"object": "chat.completion", "choices": "none"}).decode()


def fails_at_once(behaviour: Behaviour) -> bool:
    """Whether the fault replaces the reply, so that none has to be made."""
    if behaviour.fault in ("reset", "close"):
        return not behaviour.after_pieces
    return behaviour.fault in ("no_headers", "status", "html")


async def fail_at_once(exchange: Exchange, behaviour: Behaviour) -> web.StreamResponse:
    """Produce a fault for which `fails_at_once` is true."""
    if behaviour.fault == "status":
        return await _send_status(exchange, behaviour)
    if behaviour.fault == "html":
        page = (behaviour.broken_text or _HTML).encode()
        return await exchange.send(200, page, content_type="text/html")
    if behaviour.fault == "reset":
        return await exchange.reset()
    if behaviour.fault == "close":
        return await exchange.close()
    return await exchange.hang()


async def _send_status(exchange: Exchange, behaviour: Behaviour) -> web.StreamResponse:
    status = behaviour.status
    code = behaviour.error_code or _STATUS_CODES.get(status)
    message = _STATUS_MESSAGES.get(status, f"Status {status}, as it was asked for.")
    if code == "insufficient_quota":
        message = "You exceeded your current quota; please check your plan and billing details."
    headers = {}
    if behaviour.retry_after_s is not None:
        headers["Retry-After"] = f"{behaviour.retry_after_s:g}"
    return await exchange.refuse(ErrorReply(message, code=code, status=status), headers)


async def fail_within_reply(
    exchange: Exchange, behaviour: Behaviour, delivery: Delivery
) -> web.StreamResponse:
    """Begin the reply, and fail after `after_pieces`."""
    after = behaviour.after_pieces
    await exchange.begin(delivery.content_type)
    if after and delivery.opening:
        await exchange.write(delivery.opening)
    first = grouped(*delivery.first(after), behaviour.events_per_write)
    await exchange.write_paced(*first, behaviour.tokens_per_s)
    break_off = _BREAK_OFF.get(behaviour.fault or "")
    if break_off is None:
        return await exchange.end(delivery.framed(_wrong_payload(behaviour)))
    await break_off(exchange, behaviour, delivery)
    return await exchange.end()


def _wrong_payload(behaviour: Behaviour) -> bytes:
    if behaviour.fault == "error_event":
        code = behaviour.error_code or "server_error"
        return encode_error(ErrorReply("The model failed half-way.", code=code, status=500))
    default = _MALFORMED if behaviour.fault == "malformed_json" else _WRONG_TYPE
    return (behaviour.broken_text or default).encode()


async def _stall(exchange: Exchange, _behaviour: Behaviour, _delivery: Delivery) -> None:
    await exchange.hang()


async def _drip(exchange: Exchange, behaviour: Behaviour, delivery: Delivery) -> None:
    await exchange.drip(delivery.after(behaviour.after_pieces), behaviour.interval_s)


async def _reset(exchange: Exchange, _behaviour: Behaviour, _delivery: Delivery) -> None:
    await exchange.reset()


async def _close(exchange: Exchange, _behaviour: Behaviour, _delivery: Delivery) -> None:
    await exchange.close()


async def _truncate(_exchange: Exchange, _behaviour: Behaviour, _delivery: Delivery) -> None:
    """Nothing more: the body then ends properly."""


async def _huge_line(exchange: Exchange, behaviour: Behaviour, delivery: Delivery) -> None:
    """One huge string, in one event or in the single line of a plain body."""
    key = b"message" if delivery.line_end is None else b"delta"
    prefix = b"" if delivery.line_end is None else b"data: "
    await exchange.write(prefix + b'{"choices":[{"index":0,"' + key + b'":{"content":"')
    left = _size(behaviour)
    while left > 0:
        await exchange.write(_BLOCK[:left])
        left -= len(_BLOCK)
    await exchange.write(b'"}}]}' + (delivery.line_end or b"") * 2)


async def _huge_body(exchange: Exchange, behaviour: Behaviour, delivery: Delivery) -> None:
    """A stream of ordinary events up to the size; a plain body is one huge line."""
    if delivery.line_end is None:
        await _huge_line(exchange, behaviour, delivery)
        return
    event = delivery.pieces[0] if delivery.pieces else delivery.opening
    block = event * (len(_BLOCK) // len(event) + 1)
    for _ in range(0, _size(behaviour), len(block)):
        await exchange.write(block)


def _size(behaviour: Behaviour) -> int:
    return behaviour.size_bytes or _DEFAULT_SIZES[behaviour.fault or "huge_body"]


_BREAK_OFF: Final[Mapping[str, Callable[[Exchange, Behaviour, Delivery], Awaitable[None]]]] = {
    "stall": _stall,
    "drip": _drip,
    "reset": _reset,
    "close": _close,
    "truncate": _truncate,
    "huge_line": _huge_line,
    "huge_body": _huge_body,
}
