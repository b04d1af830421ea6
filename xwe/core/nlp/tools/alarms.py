"""The timers of a turn; what they ring for arrives in the turn's inbox like everything else."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from xwe.core.nlp.tools.speaker import Speaker

AlarmKind = Literal["deadline", "coalesced", "grace", "late"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A timer has run out; `speaker` is whom a "grace" is for."""

    kind: AlarmKind
    speaker: Speaker | None = None


class Alarms:
    """Belongs to the loop that it is made on."""

    def __init__(self, post: Callable[[Alarm], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._post = post
        self._timers: list[asyncio.TimerHandle] = []

    def ring(self, after_s: float, kind: AlarmKind, speaker: Speaker | None = None) -> None:
        """Post an alarm in so many seconds."""
        alarm = Alarm(kind, speaker)
        self._timers.append(self._loop.call_later(after_s, self._post, alarm))

    def cancel(self) -> None:
        """None of them rings any more."""
        for timer in self._timers:
            timer.cancel()
