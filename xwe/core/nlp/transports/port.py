"""The interface of a transport: one exchange with the provider, for one runtime.

A transport makes exactly one attempt. Retries, limits and caches belong to the call path. For
failures of the provider it raises the `ProviderError`s of `xwe.errors` and nothing else: foreign
exceptions are mapped where they enter. A request that cannot be sent raises `InvalidRequestError`,
a closed transport `ClosedError`, and `CancelledError` passes through.
"""

from collections.abc import AsyncGenerator, Generator
from typing import Protocol

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits


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
