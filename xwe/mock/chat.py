"""Chat requests, from the decoded body to the reply on the wire."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from aiohttp import HttpVersion11, web

from xwe.errors import InvalidRequestError
from xwe.mock.behaviour import Behaviour
from xwe.mock.delivery import Delivery, grouped, plain_delivery, stream_delivery
from xwe.mock.demo_model.answering import answer
from xwe.mock.exchange import Exchange
from xwe.mock.faults import fail_at_once, fail_within_reply, fails_at_once
from xwe.mock.pacer import Pacer
from xwe.mock.protocol import CompletionIdentity, ErrorReply, ModelReply, encode_completion
from xwe.mock.rules import Rule
from xwe.mock.validation import find_refusal

# Faults that only leave something out; the rest of the reply is sent as usual.
_OMISSIONS: Final = frozenset({None, "no_finish_reason", "no_done"})


class Chat:
    """Answers chat requests.

    A request's behaviour is the next one of the script, else that of the first rule that matches,
    else the default; its own "mock" object changes single fields of it.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._scripted: deque[Behaviour] = deque()
        self._rules: Sequence[Rule] = ()
        self._ids = itertools.count(1)
        self._pacer = Pacer()

    def script(self, *behaviours: Behaviour) -> None:
        """Use these behaviours for the next requests, one each. Thread-safe."""
        self._scripted.extend(behaviours)

    def follow(self, *rules: Rule) -> None:
        """Replace the rules; a request is answered by the first that matches it. Thread-safe."""
        self._rules = rules

    def forget_script(self) -> None:
        """Drop the script and the rules. Thread-safe."""
        self._scripted.clear()
        self._rules = ()

    async def serve(self, exchange: Exchange, body: Any) -> web.StreamResponse:
        """Answer one request, or fail as asked to."""
        if not isinstance(body, dict):
            return await exchange.refuse(ErrorReply("The body is not a JSON object."))
        clock = asyncio.get_running_loop().time
        arrived = clock()
        behaviour = self._behaviour_for(body)
        try:
            if body.get("mock") is not None:
                behaviour = behaviour.with_overrides(body["mock"])
            if fails_at_once(behaviour):
                await asyncio.sleep(behaviour.latency_s)
                return await fail_at_once(exchange, behaviour)
            refusal = find_refusal(body)
            if refusal is not None:
                return await exchange.refuse(refusal)
            reply = answer(body, behaviour)
        except InvalidRequestError as error:
            return await exchange.refuse(ErrorReply(error.message, error.field))
        # The time to make the reply is part of the latency, as with a real model.
        send = self._prepared(exchange, body, behaviour, reply)
        if behaviour.latency_s:
            await asyncio.sleep(arrived + behaviour.latency_s - clock())
        return await send()

    def _behaviour_for(self, body: Mapping[str, Any]) -> Behaviour:
        if self._scripted:
            return self._scripted.popleft()
        ruled = (rule.behaviour for rule in self._rules if rule.is_for(body))
        return next(ruled, self._behaviour)

    def _prepared(
        self, exchange: Exchange, body: dict[str, Any], behaviour: Behaviour, reply: ModelReply
    ) -> Callable[[], Awaitable[web.StreamResponse]]:
        """Encode the reply; the returned function sends it."""
        options = body.get("stream_options") or {}
        identity = CompletionIdentity(
            id=f"chatcmpl-demo{next(self._ids):08d}",
            created=int(time.time()),
            model=body["model"],
            with_usage=bool(options.get("include_usage")),
        )
        is_broken = behaviour.fault not in _OMISSIONS
        exchange.write_bytes = behaviour.write_bytes
        if body.get("stream"):
            delivery = stream_delivery(identity, reply, behaviour)
            if is_broken:
                return partial(fail_within_reply, exchange, behaviour, delivery)
            return partial(self._send_stream, exchange, behaviour, delivery)
        if is_broken:
            return partial(fail_within_reply, exchange, behaviour, plain_delivery(identity, reply))
        return partial(exchange.send, 200, encode_completion(identity, reply))

    async def _send_stream(
        self, exchange: Exchange, behaviour: Behaviour, delivery: Delivery
    ) -> web.StreamResponse:
        await exchange.begin(delivery.content_type)
        closing = b"".join(delivery.closing)
        rate = behaviour.tokens_per_s
        if rate is None:
            return await exchange.end(b"".join((delivery.opening, *delivery.pieces, closing)))
        await exchange.write(delivery.opening)
        clock = asyncio.get_running_loop().time
        began = clock()
        pieces, due = grouped(delivery.pieces, delivery.due, behaviour.events_per_write)
        if exchange.write_bytes is not None or exchange.request.version < HttpVersion11:
            await exchange.write_paced(pieces, due, rate)
        else:
            await self._pacer.send(exchange.request, pieces, due, rate)
        if behaviour.tokens_to_end:
            last = due[-1] if due else 0
            await asyncio.sleep(began + (last + behaviour.tokens_to_end) / rate - clock())
        return await exchange.end(closing)
