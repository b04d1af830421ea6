"""One request to the model, read by a task of its own that posts each piece of the reply."""

import asyncio
from collections.abc import Callable

from xwe.core.nlp.completion import Completion, Delta
from xwe.core.nlp.completion_stream import AsyncCompletionStream
from xwe.core.nlp.tools.events import StepKind
from xwe.core.nlp.tools.timing_estimates import TimingEstimates


class ReplyPiece:
    """A delta of a reply; without one the reply has ended, with `error` if it failed."""

    __slots__ = ("delta", "error", "reader")

    def __init__(
        self, reader: "ReplyReader", delta: Delta | None, error: Exception | None = None
    ) -> None:
        self.reader = reader
        self.delta = delta
        self.error = error


class ReplyReader:
    """Reads one streamed reply and posts its pieces.

    Attributes:
        kind: of the step that the reply belongs to.
        is_grounded: whether the request held results of tools.
        pieces: how many pieces of text have come.
        shown: the text that was shown, in pieces.
        asked_at: when the request was made, on the loop's clock.
        first_at: when the first piece came; None until then.
        first_s: how long the first token took; None until it came, and where that is unknown.
        is_leaving: it may only finish its sentence.
        grace_is_over: it has finished its sentence, or used up its time for that.
    """

    def __init__(
        self,
        kind: StepKind,
        stream: AsyncCompletionStream,
        post: Callable[[ReplyPiece], object],
        *,
        is_grounded: bool,
    ) -> None:
        self.kind = kind
        self.is_grounded = is_grounded
        self.pieces = 0
        self.shown: list[str] = []
        self.first_at: float | None = None
        self.first_s: float | None = None
        self.is_leaving = False
        self.grace_is_over = False
        self._stream = stream
        self._post = post
        self.asked_at = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        error: Exception | None = None
        post = self._post
        try:
            async for delta in self._stream:
                post(ReplyPiece(self, delta))
        except Exception as failure:  # noqa: BLE001 - the turn raises it where its reader is
            error = failure
        finally:
            await self._stream.aclose()
        post(ReplyPiece(self, None, error))

    def begin(self, delta: Delta) -> None:
        """Record when the first piece came."""
        self.first_at = asyncio.get_running_loop().time()
        # Arguments that come whole took time to write, so they say nothing about the first token.
        if not any(piece.arguments for piece in delta.tool_calls):
            self.first_s = self.first_at - self.asked_at

    def teach(self, estimates: TimingEstimates) -> None:
        """Record how fast the model began and spoke, at the reply's end."""
        if self.first_at is not None and self.first_s is not None:
            speaking_s = asyncio.get_running_loop().time() - self.first_at
            estimates.note_reply(self.first_s, self.pieces, speaking_s)

    def cut(self) -> None:
        """End the upstream request now, also when nothing is coming."""
        self.task.cancel()

    @property
    def completion(self) -> Completion:
        """The reply so far."""
        return self._stream.completion

    @property
    def text(self) -> str:
        """The part of its text that was shown."""
        return "".join(self.shown)
