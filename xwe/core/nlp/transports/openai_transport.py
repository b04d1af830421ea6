"""The transport for Azure and whatever else the official SDK speaks: AsyncOpenAI on the loop.

The SDK authenticates, builds the request and keeps the connections; what goes over the wire and
what comes back is read by our own code, as on the other transports. So replies keep the fields
that the SDK does not know, the limits hold, and a call costs less than through its models.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit, urlunsplit

import anyio
import h11
import httpx2
import openai

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits
from xwe.core.nlp.provider_errors import hidden_texts
from xwe.core.nlp.transports.attempt_timeout import KEEPALIVE_S, AttemptTimeout, TimedWait
from xwe.core.nlp.transports.endpoint import Endpoint, causes, request_headers, was_reset
from xwe.core.nlp.transports.loop_bound import LoopBound
from xwe.core.nlp.transports.reading import REFUSAL_BYTES, DeltaReader, WholeBody
from xwe.core.nlp.wire import build_payload, error_from_status, parse_reply
from xwe.errors import ClosedError, ProviderBadReplyError, ProviderError, XweError

# What the SDK and the libraries below it raise when the network or the peer fails.
_FOREIGN = (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, anyio.EndOfStream, OSError)


class _RefusedError(Exception):
    """A reply whose status is not a success's, with the beginning of its body."""

    def __init__(self, response: httpx2.Response, body: bytes) -> None:
        super().__init__()
        self.response = response
        self.body = body


class OpenAITransport:
    """One `AsyncOpenAI` for each loop it is used on.

    The first one is made here and now: that takes too long to do it on a loop. The SDK's own
    retries are off. Redirects are not followed, and no cookies are kept. An endpoint with an
    `api-version` in its query is one of Azure's deployments.

    Args:
        endpoint: the full address of chat completions.
        api_key: sent as the SDK does.
        connect_s: until a connection stands, in seconds; a call's own limit counts if shorter.
        pool_size: how many idle connections are kept.

    Raises:
        SettingsError: the endpoint or the key cannot be used.
    """

    def __init__(
        self, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 100
    ) -> None:
        self._endpoint = Endpoint.parse(endpoint)
        self._headers = request_headers(api_key)
        self._api_key = api_key.strip()
        self._connect_s = connect_s
        self._pool_size = pool_size
        self._client = LoopBound(self._open_client, first=self._open_client())
        self._running: set[_OpenAIExchange] = set()
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
            await exchange.close()
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
            reader = DeltaReader(response.headers.get("content-type", ""), hidden)
            while not reader.done:
                for delta in reader.feed(await exchange.read(reader)):
                    yield delta
            reader.raise_failure()
            await exchange.drain()
        finally:
            self._running.discard(exchange)
            await exchange.close()

    async def aclose(self) -> None:
        """Release the pooled connections; running calls end with `ClosedError`. Idempotent."""
        self._closed = True
        for exchange in self._running:
            exchange.abort()
        client = self._client.take()
        if client is not None:
            await client.close()

    def _begin(self, limits: TimeLimits) -> "_OpenAIExchange":
        if self._closed:
            raise ClosedError("The client was closed; make a new one.")
        exchange = _OpenAIExchange(self._endpoint, limits)
        self._running.add(exchange)
        return exchange

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
            # Only connecting is timed by the library: the rest is the watchdog's.
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


class _OpenAIExchange:
    """One request and its reply, within its time limits; the SDK's errors end here."""

    __slots__ = ("_chunks", "_endpoint", "_is_aborted", "_limits", "_loop", "_timeout", "_wait")

    def __init__(self, endpoint: Endpoint, limits: TimeLimits) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._timeout = AttemptTimeout(limits, self._loop.time())
        self._wait = TimedWait(self._timeout, self._loop)
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._is_aborted = False

    async def fetch(
        self, transport: OpenAITransport, payload: bytes, hidden: Iterable[str]
    ) -> bytes:
        """Send the request; the whole body of its reply."""
        await self.open(transport, payload, hidden)
        self._timeout.headers_came()
        body = WholeBody()
        try:
            with self._wait:
                while chunk := await self._read_some():
                    body.add(chunk)
        except _FOREIGN as exc:
            raise self._error(exc) from exc
        return body.joined()

    async def open(
        self, transport: OpenAITransport, payload: bytes, hidden: Iterable[str]
    ) -> httpx2.Response:
        """Send the request; the reply, of which `read` then gives the body."""
        try:
            with self._wait:
                response = await transport.post(payload, self._limits.connect_s)
        except _RefusedError as exc:
            refused = exc.response
            raise error_from_status(
                refused.status_code, refused.headers, exc.body, hidden=hidden
            ) from None
        except _FOREIGN as exc:
            raise self._error(exc) from exc
        self._chunks = response.aiter_bytes()
        return response

    async def read(self, reader: DeltaReader) -> bytes:
        """The body's next bytes; none at its end, and where it breaks, which the reader is told."""
        if reader.finished:
            self._timeout.finish_came()
        try:
            with self._wait:
                chunk = await self._read_some()
        except _FOREIGN as exc:
            if self._is_aborted:
                raise self._error(exc) from exc
            reader.fail(*self._breakage(exc), exc)
            return b""
        self._timeout.bytes_came()
        return chunk

    async def drain(self) -> None:
        """Read to the body's formal end if that is near, so that the connection can be kept."""
        self._timeout.drain()
        with contextlib.suppress(*_FOREIGN), self._wait:
            while await self._read_some():
                pass

    async def close(self) -> None:
        """Close the connection, unless the body was read to its end and the pool has it back."""
        if self._chunks is not None:
            with contextlib.suppress(*_FOREIGN):
                await self._chunks.aclose()

    def abort(self) -> None:
        """Make the caller's wait, or its next one, end with a ClosedError."""
        self._is_aborted = True
        self._wait.on_timeout()

    async def _read_some(self) -> bytes:
        return await anext(self._chunks, b"") if self._chunks is not None else b""

    def _error(self, exc: Exception) -> XweError:
        if self._is_aborted:
            return ClosedError("The client was closed while the call ran.")
        if type(exc) is TimeoutError:
            return self._timeout.ended(self._loop.time())[0]
        if self._chunks is not None:
            return self._endpoint.broken(exc)
        if any(isinstance(cause, h11.RemoteProtocolError) for cause in causes(exc)):
            return ProviderBadReplyError("The provider's answer is not HTTP.")
        return self._endpoint.unreachable(exc)

    def _breakage(self, exc: Exception) -> tuple[ProviderError, str]:
        """What a failed read means, and the reason as `StreamInterruptedError` names it."""
        if type(exc) is TimeoutError:
            return self._timeout.ended(self._loop.time())
        return self._endpoint.broken(exc), "reset" if was_reset(exc) else "truncated"
