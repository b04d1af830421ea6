"""What the transports on the loop share: the life of a call, its time limits, its errors."""

import asyncio
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, ClassVar, Generic, TypeVar

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits
from xwe.core.nlp.provider_errors import hidden_texts
from xwe.core.nlp.transports.attempt_timeout import AttemptTimeout, TimedWait
from xwe.core.nlp.transports.endpoint import Endpoint, was_reset
from xwe.core.nlp.transports.reading import DeltaReader, WholeBody
from xwe.core.nlp.wire import build_payload, parse_reply
from xwe.errors import ClosedError, ProviderBadReplyError, ProviderError, XweError

T = TypeVar("T")


class AsyncExchange(ABC):
    """One request and its reply, within its time limits; the library's errors are mapped here."""

    __slots__ = ("_endpoint", "_is_aborted", "_limits", "_loop", "_timeout", "_wait")

    # What the library raises when the network or the peer fails.
    foreign: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, endpoint: Endpoint, limits: TimeLimits) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._timeout = AttemptTimeout(limits, self._loop.time())
        self._wait = TimedWait(self._timeout, self._loop)
        self._is_aborted = False

    async def fetch(self, payload: bytes, hidden: Iterable[str]) -> bytes:
        """Send the request and return the whole body of the reply."""
        body = WholeBody()
        try:
            with self._wait:
                await self._send(payload, hidden)
                self._timeout.headers_came()
                while chunk := await self._read_some():
                    body.add(chunk)
        except self.foreign as exc:
            raise self._error(exc) from exc
        return body.joined()

    async def open(self, payload: bytes, hidden: Iterable[str]) -> str:
        """Send the request and return the reply's content type; `read` gives the body."""
        try:
            with self._wait:
                return await self._send(payload, hidden)
        except self.foreign as exc:
            raise self._error(exc) from exc

    @abstractmethod
    async def read(self, reader: DeltaReader) -> bytes:
        """The next bytes of the body; none at its end, or where it breaks (`reader.fail`)."""

    async def drain(self) -> None:  # noqa: B027 - not every library needs it
        """Wait briefly for the formal end of a stream's body, so that its connection is kept."""

    @abstractmethod
    async def close(self, reader: DeltaReader | None = None) -> None:
        """Close the connection, unless the body was read to its end and the pool has it back."""

    @abstractmethod
    async def _send(self, payload: bytes, hidden: Iterable[str]) -> str:
        """Send the request and return the content type; raise what a refusal means."""

    @abstractmethod
    async def _read_some(self) -> bytes:
        """Some bytes of the body; none at its end."""

    def abort(self) -> None:
        """End the caller's wait, or its next one, with a ClosedError."""
        self._is_aborted = True
        self._wait.on_timeout()

    def _read_failed(self, exc: Exception, reader: DeltaReader) -> bytes:
        """Tell the reader that the body broke; no more bytes."""
        if self._is_aborted:
            raise self._error(exc) from exc
        if type(exc) is TimeoutError:
            failure: tuple[ProviderError, str] = self._timeout.ended(self._loop.time())
        else:
            cause = self._cause(exc)
            failure = self._endpoint.broken(cause), "reset" if was_reset(cause) else "truncated"
        reader.fail(*failure, exc)
        return b""

    def _error(self, exc: Exception) -> XweError:
        if self._is_aborted:
            return ClosedError("The client was closed while the call ran.")
        if type(exc) is TimeoutError:
            return self._timeout.ended(self._loop.time())[0]
        if self._is_not_http(exc):
            return ProviderBadReplyError("The provider's answer is not HTTP.")
        if self._has_reply():
            return self._endpoint.broken(self._cause(exc))
        return self._endpoint.unreachable(exc)

    @abstractmethod
    def _has_reply(self) -> bool:
        """Whether the reply's headers have come."""

    @abstractmethod
    def _is_not_http(self, exc: Exception) -> bool:
        """Whether the peer speaks another protocol."""

    def _cause(self, exc: Exception) -> BaseException:
        """The exception that says why the connection broke."""
        return exc


class AsyncHTTPTransport(ABC):
    """The life of a call, for the transports on the loop; see `AsyncTransport`.

    Args:
        endpoint: the full address of chat completions.
        api_key: sent as a bearer token.
        connect_s: limit for connecting, in seconds; a call's own limit applies if shorter.
        pool_size: the most idle connections kept.

    Raises:
        SettingsError: the endpoint or the key cannot be used.
    """

    def __init__(self, endpoint: str, api_key: str, connect_s: float, pool_size: int) -> None:
        self._endpoint = Endpoint.parse(endpoint)
        self._api_key = api_key
        self._connect_s = connect_s
        self._pool_size = pool_size
        self._running: set[AsyncExchange] = set()
        self._closed = False

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """The whole reply."""
        payload = build_payload(request, stream=False)
        hidden = hidden_texts(request, self._api_key)
        exchange = self._begin(limits)
        try:
            body = await exchange.fetch(payload, hidden)
        finally:
            self._running.discard(exchange)
            await exchange.close()
        return parse_reply(body, hidden)

    async def stream(
        self, request: CompletionRequest, limits: TimeLimits
    ) -> AsyncGenerator[Delta, None]:
        """The reply in pieces."""
        payload = build_payload(request, stream=True)
        hidden = hidden_texts(request, self._api_key)
        exchange = self._begin(limits)
        reader = None
        try:
            reader = DeltaReader(await exchange.open(payload, hidden), hidden)
            while not reader.done:
                for delta in reader.feed(await exchange.read(reader)):
                    yield delta
            reader.raise_failure()
            await exchange.drain()
        finally:
            self._running.discard(exchange)
            await exchange.close(reader)

    async def aclose(self) -> None:
        """Release the pooled connections; running calls end with `ClosedError`. Idempotent."""
        self._closed = True
        for exchange in self._running:
            exchange.abort()
        await self._close_pool()

    def _begin(self, limits: TimeLimits) -> AsyncExchange:
        if self._closed:
            raise ClosedError("The client was closed; make a new one.")
        exchange = self._exchange(limits)
        self._running.add(exchange)
        return exchange

    @abstractmethod
    def _exchange(self, limits: TimeLimits) -> AsyncExchange:
        """A new exchange."""

    @abstractmethod
    async def _close_pool(self) -> None:
        """Close the connections of this loop."""


# A connection pool can only be closed on its own loop. One whose loop is gone, above all in a
# forked child, is kept for ever: collecting it would complain, and touch sockets that the parent
# still uses.
_kept: list[object] = []
_holders: "weakref.WeakSet[LoopBound[Any]]" = weakref.WeakSet()


class LoopBound(Generic[T]):
    """A value, such as a connection pool, that belongs to the loop it is first used on.

    Args:
        make: makes a value, on the loop that needs it.
        first: the value for the first loop, where making it is slow and needs no loop.
    """

    def __init__(self, make: Callable[[], T], first: T | None = None) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._value = first
        _holders.add(self)

    def get(self) -> T:
        """The running loop's value."""
        value, loop = self._value, asyncio.get_running_loop()
        if value is None or self._loop is not loop:
            if value is None or self._loop is not None:
                self.keep()
                value = self._value = self._make()
            self._loop = loop
        return value

    def take(self) -> T | None:
        """The value, if there is one; the caller closes it."""
        value, self._value = self._value, None
        return value

    def keep(self) -> None:
        """Never let the present value be collected."""
        if self._value is not None:
            _kept.append(self._value)


def _keep_all() -> None:
    for holder in _holders:
        holder.keep()


os.register_at_fork(after_in_child=_keep_all)
