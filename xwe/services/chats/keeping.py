"""Looking after the answers in the making: one batched transaction a second for all of them.

A process that dies loses the text of the last moment only, and its leases run out; the reaper of
any process then ends the rows.
"""

import contextlib
import logging
import time

from xwe.errors import XweError
from xwe.services.chats.answering import Answering
from xwe.services.chats.reaper import reap
from xwe.services.chats.turn import Turn
from xwe.services.chats.turns import Turns
from xwe.services.chats.values import ChatTimes
from xwe.services.database_threads import in_database
from xwe.services.periodic import Look, Periodic
from xwe.storage.database import Database

log = logging.getLogger(__name__)

# A lease is prolonged after this part of it, so that several attempts may fail.
RENEW_AFTER = 1 / 3


class Keeper:
    """Stores snapshots, prolongs leases, and ends what was stopped elsewhere or left behind."""

    def __init__(
        self, answering: Answering, turns: Turns, database: Database, times: ChatTimes
    ) -> None:
        self._answering = answering
        self._turns = turns
        self._database = database
        self._times = times
        self._periodic = Periodic(
            [
                Look("the answers in the making", times.snapshot_s, self.look_after),
                Look("the answers of dead processes", times.reap_s, self._reap),
            ]
        )

    def start(self) -> None:
        """Begin to look after this process's answers. Idempotent."""
        self._periodic.start()

    def close(self) -> None:
        """Stop looking. Idempotent."""
        self._periodic.close()

    async def _reap(self) -> None:
        # Our own first: after a moment in which nothing ran here, they are only late.
        late = self._due(self._running())
        if late:
            await self._snapshot([], late, time.monotonic())
        await in_database(reap, self._database)

    def _running(self) -> list[Turn]:
        return [turn for turn in self._answering.running.values() if turn.ending is None]

    def _due(self, running: list[Turn]) -> list[Turn]:
        """Those whose lease is to be prolonged."""
        before = time.monotonic() - self._times.lease_s * RENEW_AFTER
        return [turn for turn in running if turn.renewed_at <= before]

    async def look_after(self) -> None:
        """One look at all answers."""
        for turn in list(self._answering.running.values()):
            await self._end_left_behind(turn)
        running = self._running()
        if not running:
            return
        now = time.monotonic()
        grown = [turn for turn in running if turn.chars != turn.stored_chars]
        due = self._due(running)
        if grown or due:
            await self._snapshot(grown, due or grown, now)
        asked = [turn.generation_id for turn in running]
        cancelled, read = await in_database(self._turns.asked_elsewhere, asked)
        for turn in running:
            if turn.generation_id in cancelled:
                self._stop(turn)
            if turn.ending is None:
                turn.attend(is_read_elsewhere=turn.generation_id in read)

    async def _end_left_behind(self, turn: Turn) -> None:
        ending = turn.ending
        if ending is not None:
            if not turn.storing:  # the database was away when it ended
                await self._answering.store(turn, ending)
        elif turn.stream.is_finished:  # ended before its first word
            await self._answering.end(turn, self._answering.cut_short(turn))

    async def _snapshot(self, grown: list[Turn], due: list[Turn], now: float) -> None:
        chars = [turn.chars for turn in grown]
        texts = {turn.message_id: turn.text for turn in grown}
        ids = [turn.generation_id for turn in due]
        living = await in_database(self._turns.snapshot, texts, ids)
        for turn, length in zip(grown, chars, strict=True):
            turn.stored_chars = length
        for turn in due:
            if turn.generation_id in living:
                turn.renewed_at = now
            elif turn.ending is None:
                turn.lost = True
                log.warning("Answer %s was taken for lost by another process", turn.generation_id)
                self._stop(turn)

    def _stop(self, turn: Turn) -> None:
        if turn.ending is None:
            with contextlib.suppress(XweError):  # its stream has just ended by itself
                self._answering.stop(turn)
