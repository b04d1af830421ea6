"""What `LLMClient.stream` and its twin return: the pieces, and the whole reply afterwards."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import Self

from xwe.core.nlp.assembly import ReplyAssembly
from xwe.core.nlp.completion import Completion, Delta


class CompletionStream:
    """A streamed reply, read in a thread.

    ::

        with client.stream("你好") as stream:
            for delta in stream:
                print(delta.text, end="")
        print(stream.completion.usage)

    Leaving the `with`, or `close()`, closes the upstream request.
    """

    def __init__(self, deltas: Generator[Delta, None, None], assembly: ReplyAssembly) -> None:
        self._deltas = deltas
        self._assembly = assembly

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delta:
        return next(self._deltas)

    @property
    def completion(self) -> Completion:
        """The reply so far; whole once its `finish_reason` is not None."""
        return self._assembly.completion()

    def close(self) -> None:
        """End the stream and the upstream request. Idempotent."""
        self._deltas.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncCompletionStream:
    """A streamed reply, read in a coroutine: the twin of `CompletionStream`."""

    def __init__(self, deltas: AsyncGenerator[Delta, None], assembly: ReplyAssembly) -> None:
        self._deltas = deltas
        self._assembly = assembly

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def __anext__(self) -> Delta:
        return await anext(self._deltas)

    @property
    def completion(self) -> Completion:
        """The reply so far; whole once its `finish_reason` is not None."""
        return self._assembly.completion()

    async def aclose(self) -> None:
        """End the stream and the upstream request. Idempotent."""
        await self._deltas.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
