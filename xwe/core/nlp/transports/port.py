"""What a transport is: one exchange with the provider, written for one runtime.

A transport makes exactly one attempt. It knows nothing of retries, limits or caches: those are
the call path's. Of its provider it raises only the `ProviderError`s of `xwe.errors`: foreign
exceptions are mapped where they enter. A request that cannot be sent is an `InvalidRequestError`,
a transport that was closed a `ClosedError`, and `CancelledError` passes.
"""

from collections.abc import AsyncGenerator, Generator
from typing import Protocol

from xwe.core.nlp.completion import Completion, CompletionRequest, Delta, TimeLimits


class AsyncTransport(Protocol):
    """Native on the resident loop; every method is called there and nowhere else."""

    async def complete(self, request: CompletionRequest, limits: TimeLimits) -> Completion:
        """The whole reply. Cancelling closes the upstream connection at once."""

    def stream(self, request: CompletionRequest, limits: TimeLimits) -> AsyncGenerator[Delta, None]:
        """The reply in pieces; an async generator whose `aclose()` closes the connection.

        It ends normally only after a `finish_reason` came; otherwise it raises
        `StreamInterruptedError` (after the first delta) or another `ProviderError` (before it).
        """

    async def aclose(self) -> None:
        """Release the pooled connections; running calls end with `ClosedError`. Idempotent."""


class BlockingTransport(Protocol):
    """Native in a thread; any number of threads may call at once."""

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
