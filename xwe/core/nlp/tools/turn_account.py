"""What a turn took: time until what was there, tokens, and what was paid for in vain."""

import asyncio

from xwe.core.nlp.completion import Usage
from xwe.core.nlp.tools.events import TurnEnded, TurnTiming


class TurnAccount:
    """Kept while the turn goes on; for its loop only.

    Attributes:
        finish_reason: of the last answer.
        wasted: pieces of text that came and were not shown.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._ttft_s: float | None = None
        self._first_grounded_s: float | None = None
        self._usage: Usage | None = None
        self.finish_reason: str | None = None
        self.wasted = 0

    def now_s(self) -> float:
        """Seconds since the turn's beginning."""
        return self._loop.time() - self._began_at

    def note_text(self, *, is_grounded: bool) -> None:
        """Text is shown; whether it was written with results at hand."""
        if self._ttft_s is None:
            self._ttft_s = self.now_s()
        if is_grounded and self._first_grounded_s is None:
            self._first_grounded_s = self.now_s()

    def count(self, usage: Usage | None) -> None:
        """Add what the provider counted for one request."""
        if usage is not None:
            so_far = self._usage or Usage()
            self._usage = Usage(
                so_far.prompt_tokens + usage.prompt_tokens,
                so_far.completion_tokens + usage.completion_tokens,
                so_far.total_tokens + usage.total_tokens,
            )

    def closed(self) -> TurnEnded:
        """The turn's last event."""
        timing = TurnTiming(self._ttft_s, self._first_grounded_s, self.now_s(), self.wasted)
        return TurnEnded(self.finish_reason, timing, self._usage)
