"""The transport for Azure and whatever else the official SDK speaks: AsyncOpenAI on the loop.

The SDK authenticates, sends the request and keeps the connections. Our own code writes the body and
reads the reply, as for the other transports: so replies keep fields that the SDK does not know, the
time limits hold, and a call costs less than through the SDK's models.
"""

import contextlib
from collections.abc import AsyncGenerator, Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit, urlunsplit

import anyio
import h11
import httpx2
import openai

from xwe.core.nlp.completion import TimeLimits
from xwe.core.nlp.transports.async_exchange import AsyncExchange, AsyncHTTPTransport, LoopBound
from xwe.core.nlp.transports.attempt_timeout import KEEPALIVE_S
from xwe.core.nlp.transports.endpoint import Endpoint, causes, request_headers
from xwe.core.nlp.transports.reading import REFUSAL_BYTES, DeltaReader
from xwe.core.nlp.wire import error_from_status


class _RefusedError(Exception):
    """A reply whose status is not a success's, with the beginning of its body."""

    def __init__(self, response: httpx2.Response, body: bytes) -> None:
        super().__init__()
        self.response = response
        self.body = body


class OpenAITransport(AsyncHTTPTransport):
    """One `AsyncOpenAI` for each loop it is used on.

    The first is made here and now: that takes too long on a loop. The SDK's own retries are off.
    Redirects are not followed and no cookies are kept. An endpoint with an `api-version` in its
    query is an Azure deployment.
    """

    def __init__(
        self, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 100
    ) -> None:
        super().__init__(endpoint, api_key.strip(), connect_s, pool_size)
        self._headers = request_headers(api_key)
        self._client = LoopBound(self._open_client, first=self._open_client())

    def _exchange(self, limits: TimeLimits) -> "_OpenAIExchange":
        return _OpenAIExchange(self, self._endpoint, limits)

    async def _close_pool(self) -> None:
        client = self._client.take()
        if client is not None:
            await client.close()

    async def post(self, payload: bytes, connect_s: float) -> httpx2.Response:
        """The reply to a request, as soon as its headers are there.

        Raises:
            _RefusedError: the status is not a success's.
            Exception: the SDK's.
        """
        connect_s = min(connect_s, self._connect_s)
        # `stream` leaves the body unread; what comes then is what `cast_to` says, not a stream.
        response: Any = await self._client.get().post(
            self._endpoint.url,
            cast_to=httpx2.Response,
            content=payload,
            # The library only times the connecting; the rest is ours.
            options={"timeout": httpx2.Timeout(None, connect=connect_s)},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast("httpx2.Response", response)

    def _open_client(self) -> openai.AsyncOpenAI:
        http_client = httpx2.AsyncClient(
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            event_hooks={"response": [_stop_at_a_refusal]},
            follow_redirects=False,
            limits=httpx2.Limits(
                max_connections=None,
                max_keepalive_connections=self._pool_size,
                keepalive_expiry=KEEPALIVE_S,
            ),
            proxy=self._endpoint.proxy,
            trust_env=False,
            verify=self._endpoint.tls_context() or True,
        )
        return _sdk_client(self._endpoint.url, self._api_key, self._headers, http_client)


def _sdk_client(
    url: str, api_key: str, headers: dict[str, str], http_client: httpx2.AsyncClient
) -> openai.AsyncOpenAI:
    parts = urlsplit(url)
    base_url = urlunsplit(
        parts._replace(path=parts.path.removesuffix("/chat/completions"), query="")
    )
    unauthorized = {name: value for name, value in headers.items() if name != "Authorization"}
    version = parse_qs(parts.query).get("api-version")
    if version:
        return openai.AsyncAzureOpenAI(
            api_key=api_key,
            api_version=version[0],
            base_url=base_url,
            default_headers=unauthorized,
            http_client=http_client,
            max_retries=0,
        )
    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        default_headers=unauthorized,
        http_client=http_client,
        max_retries=0,
    )


async def _stop_at_a_refusal(response: httpx2.Response) -> None:
    """Keep the SDK from reading a refusal itself: it would read all of it, however much that is."""
    if response.is_success:
        return
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= REFUSAL_BYTES:
            break
    raise _RefusedError(response, body)


class _OpenAIExchange(AsyncExchange):
    __slots__ = ("_chunks", "_transport")

    foreign = (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, anyio.EndOfStream, OSError)

    def __init__(self, transport: OpenAITransport, endpoint: Endpoint, limits: TimeLimits) -> None:
        super().__init__(endpoint, limits)
        self._transport = transport
        self._chunks: AsyncGenerator[bytes, None] | None = None

    async def _send(self, payload: bytes, hidden: Iterable[str]) -> str:
        try:
            response = await self._transport.post(payload, self._limits.connect_s)
        except _RefusedError as exc:
            refused = exc.response
            raise error_from_status(
                refused.status_code, refused.headers, exc.body, hidden=hidden
            ) from None
        self._chunks = response.aiter_bytes()
        content_type: str = response.headers.get("content-type", "")
        return content_type

    async def _read_some(self) -> bytes:
        return await anext(self._chunks, b"") if self._chunks is not None else b""

    async def read(self, reader: DeltaReader) -> bytes:
        if reader.finished:
            self._timeout.finish_came()
        try:
            with self._wait:
                chunk = await self._read_some()
        except self.foreign as exc:
            return self._read_failed(exc, reader)
        self._timeout.bytes_came()
        return chunk

    async def drain(self) -> None:
        self._timeout.drain()
        with contextlib.suppress(*self.foreign), self._wait:
            while await self._read_some():
                pass

    async def close(self, reader: DeltaReader | None = None) -> None:  # noqa: ARG002 - drained before
        if self._chunks is not None:
            with contextlib.suppress(*self.foreign):
                await self._chunks.aclose()

    def _has_reply(self) -> bool:
        return self._chunks is not None

    def _is_not_http(self, exc: Exception) -> bool:
        return self._chunks is None and any(
            isinstance(cause, h11.RemoteProtocolError) for cause in causes(exc)
        )
