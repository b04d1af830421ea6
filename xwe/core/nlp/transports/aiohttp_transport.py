"""The transport for speed: aiohttp on the resident loop."""

import asyncio
import io
import os
import weakref
from collections.abc import AsyncGenerator
from functools import lru_cache, partial

import aiohttp
from yarl import URL

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits
from xwe.core.nlp.provider_errors import hidden_texts
from xwe.core.nlp.transports.endpoint import Endpoint, request_headers, was_reset
from xwe.core.nlp.transports.patience import TAIL_S, Patience, Watchdog
from xwe.core.nlp.transports.reading import REFUSAL_BYTES, DeltaReader, WholeBody
from xwe.core.nlp.wire import build_payload, error_from_status, parse_reply
from xwe.errors import ClosedError, ProviderBadReplyError, ProviderError

# Servers keep idle connections for longer than this. A request that meets a connection just as
# the server closes it fails, and nobody knows whether it was read.
_KEEPALIVE_S = 15.0

# aiohttp writes a body of bytes in one go and warns of a longer one than this.
_PLAIN_BODY_BYTES = 1 << 20

_ONE_SHOT = {"Connection": "close"}

# What the library raises when the network or the peer fails. A RuntimeError is its way to say that
# the connection was closed under a reader.
_FOREIGN = (aiohttp.ClientError, OSError, RuntimeError)

# A session can only be closed on its own loop. One whose loop is gone, as in a child process after
# a fork, is kept for ever instead, so that it does not complain when it is collected.
_open_sessions: "weakref.WeakSet[aiohttp.ClientSession]" = weakref.WeakSet()
_inherited: list[aiohttp.ClientSession] = []
os.register_at_fork(after_in_child=lambda: _inherited.extend(_open_sessions))


class AiohttpTransport:
    """One `ClientSession` for each loop it is used on, made at the first call there.

    Nothing is limited here: the call path bounds how many calls run. Redirects are not followed
    and no cookies are kept. The environment's proxy is honoured, and read once.

    Args:
        endpoint: the full address of chat completions.
        api_key: sent as a bearer token.
        connect_s: until a connection stands, in seconds; a call's own limit counts if shorter.
        pool_size: how many connections serve call after call; a call that finds so many others
            running asks the server to close its connection after it.

    Raises:
        SettingsError: the endpoint or the key cannot be used.
    """

    def __init__(
        self, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 100
    ) -> None:
        self._endpoint = Endpoint.parse(endpoint)
        self._url = URL(self._endpoint.url)
        self._headers = request_headers(api_key)
        self._api_key = api_key
        self._connect_s = connect_s
        self._pool_size = pool_size
        self._running = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._lingering: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}
        self._closed = False

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """The whole reply; see `AsyncTransport`."""
        payload = build_payload(request, stream=False)
        loop = asyncio.get_running_loop()
        patience = Patience(limits, loop.time())
        watchdog = Watchdog(patience, loop)
        response = None
        self._running += 1
        try:
            with watchdog:
                response = await self._post(payload, limits, loop)
            patience.headers_came()
            body = WholeBody()
            with watchdog:
                if response.status >= 300:  # noqa: PLR2004 - not a success
                    raise await self._refusal(response, request)
                while chunk := await response.content.readany():
                    body.add(chunk)
        except _FOREIGN as exc:
            raise self._error(exc, patience, loop) from exc
        finally:
            self._running -= 1
            watchdog.close()
            if response is not None and not response.closed:
                response.close()
        return parse_reply(body.joined(), hidden_texts(request, self._api_key))

    async def stream(
        self, request: CompletionRequest, limits: TimeLimits
    ) -> AsyncGenerator[Delta, None]:
        """The reply in pieces; see `AsyncTransport`."""
        payload = build_payload(request, stream=True)
        loop = asyncio.get_running_loop()
        patience = Patience(limits, loop.time())
        watchdog = Watchdog(patience, loop)
        reader = response = None
        self._running += 1
        try:
            with watchdog:
                response = await self._post(payload, limits, loop)
                if response.status >= 300:  # noqa: PLR2004 - not a success
                    raise await self._refusal(response, request)
            reader = DeltaReader(
                response.headers.get("Content-Type", ""), hidden_texts(request, self._api_key)
            )
            content = response.content
            while not reader.done:
                try:
                    with watchdog:
                        chunk = await content.readany()
                except _FOREIGN as exc:
                    reader.fail(*self._breakage(exc, response, patience, loop), exc)
                    break
                patience.bytes_came()
                for delta in reader.feed(chunk):
                    yield delta
                if reader.finished:
                    patience.finish_came()
            reader.raise_failure()
        except _FOREIGN as exc:
            raise self._error(exc, patience, loop) from exc
        finally:
            self._running -= 1
            watchdog.close()
            if response is not None and not response.closed:
                if reader is not None and reader.finished:
                    self._linger(response, loop)
                else:
                    response.close()

    async def aclose(self) -> None:
        """Release the pooled connections; running calls fail. Idempotent."""
        self._closed = True
        for response in list(self._lingering):
            self._cut(response)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(
        self, payload: bytes, limits: TimeLimits, loop: asyncio.AbstractEventLoop
    ) -> aiohttp.ClientResponse:
        session = self._session
        if session is None or self._loop is not loop:
            session = self._open_session(loop)
        return await session.request(
            "POST",
            self._url,
            data=payload if len(payload) <= _PLAIN_BODY_BYTES else io.BytesIO(payload),
            headers=_ONE_SHOT if self._running > self._pool_size else None,
            allow_redirects=False,
            timeout=_connect_limit(min(limits.connect_s, self._connect_s)),
        )

    def _open_session(self, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
        if self._closed:
            raise ClosedError("The client was closed; make a new one.")
        if self._session is not None:
            _inherited.append(self._session)
        self._loop = loop
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=_KEEPALIVE_S,
                ssl=self._endpoint.tls_context() or True,
            ),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._endpoint.proxy,
        )
        _open_sessions.add(self._session)
        return self._session

    async def _refusal(
        self, response: aiohttp.ClientResponse, request: CompletionRequest
    ) -> ProviderError:
        body = b""
        while len(body) < REFUSAL_BYTES and (chunk := await response.content.readany()):
            body += chunk
        hidden = hidden_texts(request, self._api_key)
        return error_from_status(response.status, response.headers, body, hidden=hidden)

    def _error(
        self, exc: Exception, patience: Patience, loop: asyncio.AbstractEventLoop
    ) -> ProviderError:
        if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
            return patience.ended(loop.time())[0]
        if isinstance(exc, aiohttp.ClientResponseError):
            return ProviderBadReplyError("The provider's answer is not HTTP.")
        return self._endpoint.unreachable(exc)

    def _breakage(
        self,
        exc: Exception,
        response: aiohttp.ClientResponse,
        patience: Patience,
        loop: asyncio.AbstractEventLoop,
    ) -> tuple[ProviderError, str]:
        """What a failed read means, and the reason as `StreamInterruptedError` names it."""
        if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
            return patience.ended(loop.time())
        # The payload's error tells only that bytes are missing; the connection's tells why.
        connection = response.connection
        protocol = connection.protocol if connection is not None else None
        cause = (protocol.exception() if protocol is not None else None) or exc
        return self._endpoint.unreachable(cause), "reset" if was_reset(cause) else "truncated"

    def _linger(self, response: aiohttp.ClientResponse, loop: asyncio.AbstractEventLoop) -> None:
        """Let the body's formal end come without anybody waiting, so the connection can go on.

        aiohttp gives the connection back by itself once that end is there.
        """
        self._lingering[response] = loop.call_later(TAIL_S, self._cut, response)
        response.content.on_eof(partial(self._forget, response))

    def _cut(self, response: aiohttp.ClientResponse) -> None:
        self._forget(response)
        response.close()

    def _forget(self, response: aiohttp.ClientResponse) -> None:
        timer = self._lingering.pop(response, None)
        if timer is not None:
            timer.cancel()


@lru_cache(maxsize=8)
def _connect_limit(connect_s: float) -> aiohttp.ClientTimeout:
    # The other limits are the watchdog's: aiohttp would set a timer for each of them, each time.
    return aiohttp.ClientTimeout(total=None, connect=connect_s)
