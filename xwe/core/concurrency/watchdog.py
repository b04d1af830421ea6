"""A watchdog that pings an event loop and logs the stack that blocks it.

One blocking call in a coroutine stops every user at once, and otherwise leaves no trace.
"""

import logging
import sys
import threading
import time
import traceback
from asyncio import AbstractEventLoop

log = logging.getLogger("xwe.loop")

# A callback that blocks the loop for this long is worth a stack in the log: every user waits.
STALL_AFTER_S = 2.0
# Two checks a second cost nothing measurable and notice a stall well before STALL_AFTER_S.
WATCH_EVERY_S = 0.5
# The watchdog's thread never blocks for longer than writing a log line takes.
JOIN_WITHIN_S = 2.0


class Watchdog:
    """Watches one loop from its own thread.

    Args:
        stall_after_s: how long a callback may block the loop before its stack is logged, in
            seconds.
    """

    def __init__(self, stall_after_s: float = STALL_AFTER_S) -> None:
        self._stall_after_s = stall_after_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked_at = 0.0
        self._answered = True
        self._lag_s = 0.0

    @property
    def lag_s(self) -> float:
        """How late the loop answered the last check, or is late by now, in seconds."""
        return self._lag_s if self._answered else time.monotonic() - self._asked_at

    def start(self, loop: AbstractEventLoop, ident: int) -> None:
        """Begin to watch `loop`, which runs in the thread `ident`."""
        self._thread = threading.Thread(
            target=self._watch, args=(loop, ident), name="xwe-watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_WITHIN_S)

    def _answer(self) -> None:
        self._lag_s = time.monotonic() - self._asked_at
        self._answered = True

    def _watch(self, loop: AbstractEventLoop, ident: int) -> None:
        logged = False
        while not self._stopping.wait(min(WATCH_EVERY_S, self._stall_after_s / 4)):
            if self._answered:
                logged = False
                self._asked_at = (
                    time.monotonic()
                )  # before the flag: `lag_s` reads both without a lock
                self._answered = False
                try:
                    loop.call_soon_threadsafe(self._answer)
                except RuntimeError:  # closed between two checks
                    return
            elif not logged and self.lag_s >= self._stall_after_s:
                logged = True
                self._log_stack(ident)

    def _log_stack(self, ident: int) -> None:
        frame = sys._current_frames().get(ident)  # noqa: SLF001 - the documented way to see another thread's stack
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no frame)"
        log.warning("The event loop has been blocked for %.1f s by:\n%s", self.lag_s, stack)
