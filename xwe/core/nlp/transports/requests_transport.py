"""The documents' transport: the requests library, blocking, in the calling thread."""

import contextlib
import http.client
import time
from collections.abc import Generator, Iterable

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits
from xwe.core.nlp.provider_errors import hidden_texts
from xwe.core.nlp.transports.attempt_timeout import AttemptTimeout
from xwe.core.nlp.transports.endpoint import Endpoint, causes, request_headers, was_reset
from xwe.core.nlp.transports.reading import REFUSAL_BYTES, DeltaReader, WholeBody
from xwe.core.nlp.transports.timeout_adapter import TimeoutAdapter
from xwe.core.nlp.wire import build_payload, error_from_status, parse_reply
from xwe.errors import ClosedError, ProviderBadReplyError, ProviderError, XweError

_READ_BYTES = 1 << 16

# What the library raises when the network or the peer fails.
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class RequestsTransport:
    """A pool of connections, shared by any number of threads.

    It uses the library's `HTTPAdapter`, which is thread-safe, not a `Session`, which is not quite:
    what a session adds (cookies, redirects, reading the environment for each call) is unwanted
    here. The environment's proxy is read once.

    Host names are resolved by `getaddrinfo`, which nothing can interrupt: if the system's resolver
    takes longer than `connect_s`, so does the call.

    Args:
        endpoint: the full address of chat completions.
        api_key: sent as a bearer token.
        connect_s: limit for connecting, in seconds; a call's own limit applies if shorter.
        pool_size: the most idle connections kept.

    Raises:
        SettingsError: the endpoint or the key cannot be used.
    """

    def __init__(
        self, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 10
    ) -> None:
        self._endpoint = Endpoint.parse(endpoint)
        self._headers = request_headers(api_key)
        self._api_key = api_key
        self._connect_s = connect_s
        proxy = self._endpoint.proxy
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._adapter = TimeoutAdapter(pool_connections=1, pool_maxsize=pool_size)
        self._closed = False

    def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """The whole reply; see `BlockingTransport`."""
        payload = build_payload(request, stream=False)
        hidden = hidden_texts(request, self._api_key)
        exchange = _RequestsExchange(self, self._endpoint, limits)
        try:
            body = exchange.fetch(payload, hidden)
        finally:
            exchange.close()
        return parse_reply(body, hidden)

    def stream(
        self, request: CompletionRequest, limits: TimeLimits
    ) -> Generator[Delta, None, None]:
        """The reply in pieces; see `BlockingTransport`."""
        payload = build_payload(request, stream=True)
        hidden = hidden_texts(request, self._api_key)
        exchange = _RequestsExchange(self, self._endpoint, limits)
        reader = None
        try:
            response = exchange.open(payload, hidden)
            reader = DeltaReader(response.headers.get("Content-Type", ""), hidden)
            while not reader.done:
                yield from reader.feed(exchange.read(reader))
            reader.raise_failure()
        finally:
            if reader is not None and reader.finished:
                exchange.drain()
            exchange.close()

    def close(self) -> None:
        """Release the connections; running calls end with `ClosedError`. Idempotent."""
        self._closed = True
        self._adapter.close()

    @property
    def is_closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    def post(self, payload: bytes, limits: TimeLimits, limit: AttemptTimeout) -> requests.Response:
        """The reply to a request, once its headers are there; raises the library's errors."""
        if self._closed:
            raise ClosedError("The client was closed; make a new one.")
        prepared = requests.PreparedRequest()
        prepared.method = "POST"
        prepared.url = self._endpoint.url
        prepared.headers = CaseInsensitiveDict(self._headers)
        prepared.headers["Content-Length"] = str(len(payload))
        prepared.body = payload
        connect_s = min(limits.connect_s, self._connect_s, limits.total_s)
        return self._adapter.send_within(
            limit,
            prepared,
            stream=True,
            timeout=(connect_s, limits.total_s),
            verify=self._endpoint.ca_bundle or True,
            proxies=self._proxies,
        )


class _RequestsExchange:
    """One request and its reply, within its time limits; the library's errors are mapped here."""

    __slots__ = ("_endpoint", "_limits", "_response", "_timeout", "_transport")

    def __init__(
        self, transport: RequestsTransport, endpoint: Endpoint, limits: TimeLimits
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._limits = limits
        self._timeout = AttemptTimeout(limits, time.monotonic())
        self._response: requests.Response | None = None

    def fetch(self, payload: bytes, hidden: Iterable[str]) -> bytes:
        """Send the request and return the whole body of the reply."""
        self.open(payload, hidden)
        self._timeout.headers_came()
        body = WholeBody()
        try:
            while chunk := self._read_some():
                body.add(chunk)
        except _FOREIGN as exc:
            raise self._error(exc) from exc
        return body.joined()

    def open(self, payload: bytes, hidden: Iterable[str]) -> requests.Response:
        """Send the request and return the reply, whose body `read` gives."""
        try:
            response = self._response = self._transport.post(payload, self._limits, self._timeout)
            if response.status_code < 300:  # noqa: PLR2004 - a success
                return response
            body = b""
            while len(body) < REFUSAL_BYTES and (chunk := self._read_some()):
                body += chunk
        except _FOREIGN as exc:
            raise self._error(exc) from exc
        raise error_from_status(response.status_code, response.headers, body, hidden=hidden)

    def read(self, reader: DeltaReader) -> bytes:
        """The next bytes of the body; none at its end, or where it breaks (`reader.fail`)."""
        if reader.finished:
            self._timeout.finish_came()
        try:
            chunk = self._read_some()
        except _FOREIGN as exc:
            if self._transport.is_closed:
                raise self._error(exc) from exc
            reader.fail(*self._breakage(exc), exc)
            return b""
        self._timeout.bytes_came()
        return chunk

    def drain(self) -> None:
        """Wait briefly for the body's formal end, so that the connection is kept."""
        self._timeout.drain()
        with contextlib.suppress(*_FOREIGN):
            while self._read_some():
                pass

    def close(self) -> None:
        """Close the connection, unless the body was read to its end and the pool has it back."""
        if self._response is not None:
            self._response.close()

    def _read_some(self) -> bytes:
        raw = self._response.raw if self._response is not None else None
        chunk: bytes = raw.read1(_READ_BYTES, decode_content=True) if raw is not None else b""
        return chunk

    def _error(self, exc: Exception) -> XweError:
        if self._transport.is_closed:
            return ClosedError("The client was closed while the call ran.")
        now = time.monotonic()
        if _is_read_timeout(exc) and now >= self._timeout.due(now):
            return self._timeout.ended(now)[0]
        if _is_not_http(exc):
            return ProviderBadReplyError("The provider's answer is not HTTP.")
        if self._response is not None:
            return self._endpoint.broken(exc)
        return self._endpoint.unreachable(exc)

    def _breakage(self, exc: Exception) -> tuple[ProviderError, str]:
        """What a failed read means, and the reason for a `StreamInterruptedError`."""
        if _is_read_timeout(exc):
            return self._timeout.ended(time.monotonic())
        return self._endpoint.broken(exc), "reset" if was_reset(exc) else "truncated"


def _is_read_timeout(exc: Exception) -> bool:
    return isinstance(
        exc, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError | TimeoutError
    )


def _is_not_http(exc: Exception) -> bool:
    # A peer that closes the connection raises these too, but that says nothing about its protocol.
    ended = (http.client.RemoteDisconnected, http.client.IncompleteRead)
    return any(
        isinstance(cause, http.client.HTTPException) and not isinstance(cause, ended)
        for cause in causes(exc)
    )
