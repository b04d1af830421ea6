"""A request to the model that is being answered, read by a task of its own."""

import asyncio
from collections.abc import Callable

from xwe.core.nlp.completion import Completion, Delta
from xwe.core.nlp.completion_stream import AsyncCompletionStream
from xwe.core.nlp.tools.call_tracker import CallTracker
from xwe.core.nlp.tools.events import StepKind
from xwe.core.nlp.tools.learned import Learned


class Spoken:
    """What a speaker tells its turn: a delta, or its end with the error that it ended with."""

    __slots__ = ("delta", "error", "speaker")

    def __init__(
        self, speaker: "Speaker", delta: Delta | None, error: Exception | None = None
    ) -> None:
        self.speaker = speaker
        self.delta = delta
        self.error = error


class Speaker:
    """Reads one streamed reply and posts its pieces.

    Attributes:
        kind: what it speaks.
        is_grounded: whether the model was told of results.
        tracker: of the calls that it makes.
        pieces: of text that came.
        shown: what of its text was shown, in pieces.
        text_id: of the part that is open; None when none is.
        asked_at, first_at: on the loop's clock; `first_at` is None until something came.
        first_s: how long the first token took; None until it came, or where it is not known.
        is_leaving: it may only finish its sentence.
        grace_is_over: it has finished it, or had its time.
    """

    def __init__(
        self,
        kind: StepKind,
        stream: AsyncCompletionStream,
        post: Callable[[Spoken], object],
        *,
        is_grounded: bool,
    ) -> None:
        self.kind = kind
        self.is_grounded = is_grounded
        self.tracker = CallTracker()
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
                post(Spoken(self, delta))
        except Exception as failure:  # noqa: BLE001 - the turn raises it, where its reader is
            error = failure
        finally:
            await self._stream.aclose()
        post(Spoken(self, None, error))

    def begin(self, delta: Delta) -> None:
        """Its first piece has come."""
        self.first_at = asyncio.get_running_loop().time()
        # Arguments that come whole were written before: they say nothing of the first token.
        if not any(piece.arguments for piece in delta.tool_calls):
            self.first_s = self.first_at - self.asked_at

    def teach(self, learned: Learned) -> None:
        """Have it learned how fast the model began and spoke, at the reply's end."""
        if self.first_at is not None and self.first_s is not None:
            speaking_s = asyncio.get_running_loop().time() - self.first_at
            learned.note_reply(self.first_s, self.pieces, speaking_s)

    def cut(self) -> None:
        """End the upstream request now, also when nothing is coming."""
        self.task.cancel()

    @property
    def completion(self) -> Completion:
        """The reply so far."""
        return self._stream.completion

    @property
    def text(self) -> str:
        """What of its text was shown."""
        return "".join(self.shown)
