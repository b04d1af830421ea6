"""The transport for speed: aiohttp on the resident loop."""

import asyncio
import io
from collections.abc import Iterable
from functools import lru_cache, partial

import aiohttp
from yarl import URL

from xwe.core.nlp.completion import TimeLimits
from xwe.core.nlp.transports.async_exchange import AsyncExchange, AsyncHTTPTransport, LoopBound
from xwe.core.nlp.transports.attempt_timeout import KEEPALIVE_S, TAIL_S, AttemptTimer
from xwe.core.nlp.transports.endpoint import Endpoint, request_headers
from xwe.core.nlp.transports.reading import REFUSAL_BYTES, DeltaReader
from xwe.core.nlp.wire import error_from_status

# aiohttp writes a body of bytes in one go and warns of a longer one than this.
_PLAIN_BODY_BYTES = 1 << 20

_ONE_SHOT = {"Connection": "close"}


class AiohttpTransport(AsyncHTTPTransport):
    """One `ClientSession` for each loop it is used on, made at the first call there.

    The call path limits how many calls run, not this. Redirects are not followed and no cookies
    are kept. The environment's proxy is honoured; it is read once.

    `pool_size` connections serve call after call; a call that finds as many others running asks
    the server to close its connection afterwards.
    """

    def __init__(
        self, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 100
    ) -> None:
        super().__init__(endpoint, api_key, connect_s, pool_size)
        self._url = URL(self._endpoint.url)
        self._headers = request_headers(api_key)
        self._tls = self._endpoint.tls_context() or True  # here, since reading a bundle is slow
        self._session = LoopBound(self._open_session)
        self._lingering: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}

    def _exchange(self, limits: TimeLimits) -> "_AiohttpExchange":
        return _AiohttpExchange(self, self._endpoint, limits)

    async def _close_pool(self) -> None:
        for response in list(self._lingering):
            self._cut(response)
        session = self._session.take()
        if session is not None:
            await session.close()

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

    def linger(self, response: aiohttp.ClientResponse) -> None:
        """Give the formal end of a body time to come, without a waiter, to keep the connection.

        aiohttp takes the connection back by itself once that end is there.
        """
        if response.content.exception() is not None:  # it has had its time
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


class _ReadTimer(AttemptTimer):
    """Ends a read with an error: far cheaper than being ready to cancel its task."""

    __slots__ = ("content",)

    content: aiohttp.StreamReader | None

    def on_timeout(self) -> None:
        if self.content is not None:
            self.content.set_exception(TimeoutError())


class _AiohttpExchange(AsyncExchange):
    __slots__ = ("_is_silent", "_reads", "_response", "_transport")

    foreign = (aiohttp.ClientError, OSError)

    def __init__(self, transport: AiohttpTransport, endpoint: Endpoint, limits: TimeLimits) -> None:
        super().__init__(endpoint, limits)
        self._transport = transport
        self._response: aiohttp.ClientResponse | None = None
        self._reads = _ReadTimer(self._timeout, self._loop)
        self._reads.content = None
        self._is_silent = True

    async def _send(self, payload: bytes, hidden: Iterable[str]) -> str:
        response = await self._transport.post(payload, self._limits.connect_s)
        self._response = response
        self._reads.content = response.content
        if response.status < 300:  # noqa: PLR2004 - a success
            return response.headers.get("Content-Type", "")
        body = b""
        while len(body) < REFUSAL_BYTES and (chunk := await response.content.readany()):
            body += chunk
        raise error_from_status(response.status, response.headers, body, hidden=hidden)

    async def _read_some(self) -> bytes:
        return await self._reads.content.readany() if self._reads.content is not None else b""

    async def read(self, reader: DeltaReader) -> bytes:
        reads = self._reads
        if reader.finished:
            self._timeout.finish_came()
            reads.stop()
        reads.begin()
        try:
            chunk = await self._read_some()
        except self.foreign as exc:
            return self._read_failed(exc, reader)
        finally:
            reads.end()
        if self._is_silent:
            self._is_silent = False
            self._timeout.bytes_came()
            reads.stop()
        return chunk

    async def close(self, reader: DeltaReader | None = None) -> None:
        self._reads.stop()
        if self._response is None or self._response.closed:
            return
        if reader is not None and reader.finished:
            self._transport.linger(self._response)
        else:
            self._response.close()

    def abort(self) -> None:
        super().abort()
        self._reads.on_timeout()

    def _has_reply(self) -> bool:
        return self._response is not None

    def _is_not_http(self, exc: Exception) -> bool:
        return isinstance(exc, aiohttp.ClientResponseError)

    def _cause(self, exc: Exception) -> BaseException:
        # The body's error only says that bytes are missing; the connection's says why.
        connection = self._response.connection if self._response is not None else None
        protocol = connection.protocol if connection is not None else None
        return (protocol.exception() if protocol is not None else None) or exc


@lru_cache(maxsize=8)
def _connect_limit(connect_s: float) -> aiohttp.ClientTimeout:
    # The other limits are ours: aiohttp would set a timer for each of them, every time.
    return aiohttp.ClientTimeout(total=None, connect=connect_s)
