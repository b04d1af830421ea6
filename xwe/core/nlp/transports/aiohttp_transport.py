"""The transport for speed: aiohttp on the resident loop."""

import asyncio
import io
from collections.abc import AsyncGenerator, Iterable
from functools import lru_cache, partial

import aiohttp
from yarl import URL

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits
from xwe.core.nlp.provider_errors import hidden_texts
from xwe.core.nlp.transports.attempt_timeout import (
    KEEPALIVE_S,
    TAIL_S,
    AttemptTimeout,
    AttemptTimer,
    TimedWait,
)
from xwe.core.nlp.transports.endpoint import Endpoint, request_headers, was_reset
from xwe.core.nlp.transports.loop_bound import LoopBound
from xwe.core.nlp.transports.reading import REFUSAL_BYTES, DeltaReader, WholeBody
from xwe.core.nlp.wire import build_payload, error_from_status, parse_reply
from xwe.errors import ClosedError, ProviderBadReplyError, ProviderError, XweError

# aiohttp writes a body of bytes in one go and warns of a longer one than this.
_PLAIN_BODY_BYTES = 1 << 20

_ONE_SHOT = {"Connection": "close"}

# What the library raises when the network or the peer fails.
_FOREIGN = (aiohttp.ClientError, OSError)


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
        self._tls = self._endpoint.tls_context() or True  # here, as reading a bundle takes a while
        self._api_key = api_key
        self._connect_s = connect_s
        self._pool_size = pool_size
        self._running: set[_AiohttpExchange] = set()
        self._session = LoopBound(self._open_session)
        self._lingering: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}
        self._closed = False

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """The whole reply; see `AsyncTransport`."""
        payload = build_payload(request, stream=False)
        hidden = hidden_texts(request, self._api_key)
        exchange = self._begin(limits)
        try:
            body = await exchange.fetch(self, payload, hidden)
        finally:
            self._running.discard(exchange)
            exchange.close()
        return parse_reply(body, hidden)

    async def stream(
        self, request: CompletionRequest, limits: TimeLimits
    ) -> AsyncGenerator[Delta, None]:
        """The reply in pieces; see `AsyncTransport`."""
        payload = build_payload(request, stream=True)
        hidden = hidden_texts(request, self._api_key)
        exchange = self._begin(limits)
        reader = None
        try:
            response = await exchange.open(self, payload, hidden)
            reader = DeltaReader(response.headers.get("Content-Type", ""), hidden)
            while not reader.done:
                for delta in reader.feed(await exchange.read(response, reader)):
                    yield delta
            reader.raise_failure()
        finally:
            self._running.discard(exchange)
            if reader is not None and reader.finished:
                self._linger(exchange.detach())
            exchange.close()

    async def aclose(self) -> None:
        """Release the pooled connections; running calls end with `ClosedError`. Idempotent."""
        self._closed = True
        for exchange in self._running:
            exchange.abort()
        for response in list(self._lingering):
            self._cut(response)
        session = self._session.take()
        if session is not None:
            await session.close()

    def _begin(self, limits: TimeLimits) -> "_AiohttpExchange":
        if self._closed:
            raise ClosedError("The client was closed; make a new one.")
        exchange = _AiohttpExchange(self._endpoint, limits)
        self._running.add(exchange)
        return exchange

    async def post(self, payload: bytes, connect_s: float) -> aiohttp.ClientResponse:
        """The reply to a request, as soon as its headers are there; raises aiohttp's errors."""
        return await self._session.get().request(
            "POST",
            self._url,
            data=payload if len(payload) <= _PLAIN_BODY_BYTES else io.BytesIO(payload),
            headers=_ONE_SHOT if len(self._running) > self._pool_size else None,
            allow_redirects=False,
            timeout=_connect_limit(min(connect_s, self._connect_s)),
        )

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEPALIVE_S,
                ssl=self._tls,
            ),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._endpoint.proxy,
        )

    def _linger(self, response: aiohttp.ClientResponse | None) -> None:
        """Let the body's formal end come without anybody waiting, so that the connection lives on.

        aiohttp gives the connection back by itself once that end is there.
        """
        if response is None or response.closed:
            return
        if response.content.exception() is not None:  # it had its time
            response.close()
            return
        loop = asyncio.get_running_loop()
        self._lingering[response] = loop.call_later(TAIL_S, self._cut, response)
        response.content.on_eof(partial(self._forget, response))

    def _cut(self, response: aiohttp.ClientResponse) -> None:
        self._forget(response)
        response.close()

    def _forget(self, response: aiohttp.ClientResponse) -> None:
        timer = self._lingering.pop(response, None)
        if timer is not None:
            timer.cancel()


class _AiohttpExchange(AttemptTimer):
    """One request and its reply, within its time limits; aiohttp's errors end here."""

    __slots__ = ("_endpoint", "_is_aborted", "_is_silent", "_limits", "_response", "_wait")

    def __init__(self, endpoint: Endpoint, limits: TimeLimits) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(AttemptTimeout(limits, loop.time()), loop)
        self._wait = TimedWait(self._timeout, loop)
        self._endpoint = endpoint
        self._limits = limits
        self._response: aiohttp.ClientResponse | None = None
        self._is_silent = True
        self._is_aborted = False

    async def fetch(
        self, transport: AiohttpTransport, payload: bytes, hidden: Iterable[str]
    ) -> bytes:
        """Send the request; the whole body of its reply."""
        body = WholeBody()
        try:
            with self._wait:
                response = await self._send(transport, payload, hidden)
                self._timeout.headers_came()
                while chunk := await response.content.readany():
                    body.add(chunk)
        except _FOREIGN as exc:
            raise self._error(exc) from exc
        return body.joined()

    async def open(
        self, transport: AiohttpTransport, payload: bytes, hidden: Iterable[str]
    ) -> aiohttp.ClientResponse:
        """Send the request; the reply, of which `read` then gives the body."""
        try:
            with self._wait:
                return await self._send(transport, payload, hidden)
        except _FOREIGN as exc:
            raise self._error(exc) from exc

    async def read(self, response: aiohttp.ClientResponse, reader: DeltaReader) -> bytes:
        """The body's next bytes; none at its end, and where it breaks, which the reader is told."""
        if reader.finished:
            self._timeout.finish_came()
            self.stop()
        self.begin()
        try:
            chunk = await response.content.readany()
        except _FOREIGN as exc:
            if self._is_aborted:
                raise self._error(exc) from exc
            reader.fail(*self._breakage(exc), exc)
            return b""
        finally:
            self.end()
        if self._is_silent:
            self._is_silent = False
            self._timeout.bytes_came()
            self.stop()
        return chunk

    async def _send(
        self, transport: AiohttpTransport, payload: bytes, hidden: Iterable[str]
    ) -> aiohttp.ClientResponse:
        response = self._response = await transport.post(payload, self._limits.connect_s)
        if response.status < 300:  # noqa: PLR2004 - a success
            return response
        body = b""
        while len(body) < REFUSAL_BYTES and (chunk := await response.content.readany()):
            body += chunk
        raise error_from_status(response.status, response.headers, body, hidden=hidden)

    def detach(self) -> aiohttp.ClientResponse | None:
        """The reply, which from here on is somebody else's to close."""
        response, self._response = self._response, None
        return response

    def close(self) -> None:
        """Close the connection, unless the body came to its end and aiohttp has it back."""
        self.stop()
        if self._response is not None and not self._response.closed:
            self._response.close()

    def on_timeout(self) -> None:
        """End a read. With an error: that is far cheaper than being ready to cancel its task."""
        if self._response is not None:
            self._response.content.set_exception(TimeoutError())

    def abort(self) -> None:
        """Make the caller's wait, or its next one, end with a ClosedError."""
        self._is_aborted = True
        self._wait.on_timeout()
        self.on_timeout()

    def _error(self, exc: Exception) -> XweError:
        if self._is_aborted:
            return ClosedError("The client was closed while the call ran.")
        if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
            return self._timeout.ended(self._loop.time())[0]
        if isinstance(exc, aiohttp.ClientResponseError):
            return ProviderBadReplyError("The provider's answer is not HTTP.")
        if self._response is None:
            return self._endpoint.unreachable(exc)
        return self._endpoint.broken(self._cause(exc))

    def _breakage(self, exc: Exception) -> tuple[ProviderError, str]:
        """What a failed read means, and the reason as `StreamInterruptedError` names it."""
        if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
            return self._timeout.ended(self._loop.time())
        cause = self._cause(exc)
        return self._endpoint.broken(cause), "reset" if was_reset(cause) else "truncated"

    def _cause(self, exc: Exception) -> BaseException:
        # The body's error tells only that bytes are missing; the connection's tells why.
        connection = self._response.connection if self._response is not None else None
        protocol = connection.protocol if connection is not None else None
        return (protocol.exception() if protocol is not None else None) or exc


@lru_cache(maxsize=8)
def _connect_limit(connect_s: float) -> aiohttp.ClientTimeout:
    # The other limits are the watchdog's: aiohttp would set a timer for each of them, each time.
    return aiohttp.ClientTimeout(total=None, connect=connect_s)
