"""The transports to the provider, and what one is; chosen by name (LLM_TRANSPORT).

A transport makes exactly one attempt. Retries, limits and caches belong to the call path. For
failures of the provider it raises the `ProviderError`s of `xwe.errors` and nothing else: foreign
exceptions are mapped where they enter. A request that cannot be sent raises `InvalidRequestError`,
a closed transport `ClosedError`, and `CancelledError` passes through.
"""

from collections.abc import AsyncGenerator, Generator
from importlib import import_module
from typing import Any, Protocol

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits
from xwe.errors import SettingsError
from xwe.extras import importing

# Its library (0.3 to 0.7 s) is imported when it is opened, not before.
_TRANSPORTS = {
    "requests": ("requests_transport", "RequestsTransport"),
    "aiohttp": ("aiohttp_transport", "AiohttpTransport"),
    "openai": ("openai_transport", "OpenAITransport"),
}


class AsyncTransport(Protocol):
    """Runs on the resident loop; every method is called there only."""

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """The whole reply. Cancelling closes the upstream connection at once."""

    def stream(self, request: CompletionRequest, limits: TimeLimits) -> AsyncGenerator[Delta, None]:
        """The reply in pieces; an async generator whose `aclose()` closes the connection.

        It ends normally only after a `finish_reason`; otherwise it raises
        `StreamInterruptedError` (after the first delta) or another `ProviderError` (before it).
        """

    async def aclose(self) -> None:
        """Release the pooled connections; running calls end with `ClosedError`. Idempotent."""


class BlockingTransport(Protocol):
    """Runs in the calling thread; any number of threads may call at once."""

    def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """The whole reply."""

    def stream(
        self, request: CompletionRequest, limits: TimeLimits
    ) -> Generator[Delta, None, None]:
        """The reply in pieces; a generator whose `close()` closes the connection."""

    def close(self) -> None:
        """Release the connections; running calls end with `ClosedError`, as soon as they can.

        Idempotent.
        """


def open_transport(
    name: str, endpoint: str, api_key: str, *, connect_s: float = 5.0, pool_size: int = 100
) -> Any:
    """The transport of this name, an `AsyncTransport` or a `BlockingTransport`; not connected yet.

    Raises:
        SettingsError: there is none of this name, or the endpoint or key cannot be used.
        MissingExtraError: the SDK of the openai transport is not installed.
    """
    if name not in _TRANSPORTS:
        raise SettingsError("LLM_TRANSPORT", name, "one of " + ", ".join(_TRANSPORTS))
    module, class_name = _TRANSPORTS[name]
    with importing("openai"):  # the other libraries come with xwe
        transport = getattr(import_module(f"{__name__}.{module}"), class_name)
    return transport(endpoint, api_key, connect_s=connect_s, pool_size=pool_size)
