"""This process's hold on the answers that it makes and stores.

While an answer runs, its row is held under a lease. Once a second one transaction stores the texts
of all of them and renews their leases. A process that dies loses the text of the last second; its
leases run out, and any other process ends the rows. The end of an answer is stored before any
reader sees it, so that whoever saw it finds it in the conversation.
"""

import logging
import time
from collections.abc import Callable
from functools import partial

import orjson

from xwe.core.nlp.completion import Message
from xwe.errors import AnswerLostError, DrainingError, XweError
from xwe.services.answers import DeltaStream, ReplyEncoder
from xwe.services.chats.replay import data_turn
from xwe.services.chats.turns import Turns
from xwe.services.chats.values import ChatTimes, Ending, Opened
from xwe.services.periodic import Check, Periodic
from xwe.storage.database import Database
from xwe.storage.database_threads import in_database
from xwe.storage.repositories import generations, messages
from xwe.storage.rows import now
from xwe.streams.answer import AnswerReader, Outcome
from xwe.streams.notifications import Notifications

log = logging.getLogger(__name__)

# A lease is renewed after this part of it, so that several attempts may fail.
RENEW_AFTER = 1 / 3


class Lease:
    """One running answer, until its end is stored. Changed on the loop only.

    Attributes:
        opened: the turn as it was stored at its beginning.
        ending: what is to be stored at its end, once the answer has ended.
        is_storing: whether that is on its way into the database.
        stored_number: the newest event whose text is stored.
        renewed_at: when the lease was last renewed, in seconds of the monotonic clock.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.answer = opened.answer
        self.ending: Ending | None = None
        self.is_storing = False
        self.stored_number = 0
        self.renewed_at = time.monotonic()
        self._reader_elsewhere: AnswerReader | None = None

    def set_read_elsewhere(self, *, is_read: bool) -> None:
        """Stand in for the readers in other processes: an answer may end for want of readers."""
        reader = self._reader_elsewhere
        if is_read and reader is None:
            self._reader_elsewhere = self.answer.join_at_end()
        elif reader is not None and not is_read:
            self._reader_elsewhere = None
            reader.close()


class AnswerLeases:
    """The stored answers that run in this process.

    Attributes:
        held: the leases by generation, until the answer's end is stored.
    """

    def __init__(
        self, turns: Turns, database: Database, notifications: Notifications, times: ChatTimes
    ) -> None:
        self._turns = turns
        self._database = database
        self._notifications = notifications
        self._times = times
        self.held: dict[str, Lease] = {}
        self._periodic = Periodic(
            [
                Check("the running answers", times.snapshot_s, self.check),
                Check("the answers of dead processes", times.reap_s, self._reap),
            ]
        )

    def start(self) -> None:
        """Begin the checks. Idempotent."""
        self._periodic.start()

    def close(self) -> None:
        """End the checks. Idempotent."""
        self._periodic.close()

    def run(self, opened: Opened, ask: Callable[[list[Message]], DeltaStream]) -> Lease:
        """Run the answer of a turn that has been opened; `ask` makes its source of the prompt.

        Raises:
            ClosedError: the process is about to end; the turn is stored as failed.
        """
        lease = Lease(opened)
        answer_id = opened.answer.answer_id
        self.held[answer_id] = lease
        try:
            with opened.answer as answer:
                reply = ask(opened.prompt)
                encoder = ReplyEncoder(answer_id, reply, data_turn(opened.row, opened.asked))
                answer.start(reply, encoder, partial(self._store_end, lease, reply))
        except Exception as error:
            del self.held[answer_id]
            known = error if isinstance(error, XweError) else XweError()
            self._turns.end(opened, Ending("failed", "", known))
            raise
        self._notify(opened, "streaming")
        return lease

    async def _store_end(self, lease: Lease, reply: DeltaStream, outcome: Outcome) -> None:
        lease.ending = _ending(outcome, lease.answer.text, reply)
        try:
            await self._store(lease, lease.ending)
        except XweError as error:
            log.warning("The end of answer %s waits: %s", lease.answer.answer_id, error)
            raise

    async def _store(self, lease: Lease, ending: Ending) -> None:
        lease.is_storing = True
        try:
            await in_database(self._turns.end, lease.opened, ending)
        finally:
            lease.is_storing = False
        self.held.pop(lease.answer.answer_id, None)
        lease.set_read_elsewhere(is_read=False)
        self._notify(lease.opened, ending.status)

    def _notify(self, opened: Opened, status: str) -> None:
        """Notify the user's other pages."""
        notification = {
            "type": "message",
            "role": opened.role,
            "generation_id": opened.answer.answer_id,
            "message_id": opened.row.id,
            "seq": opened.row.place,
            "status": status,
        }
        self._notifications.publish(str(opened.user_id), orjson.dumps(notification))

    async def check(self) -> None:
        """Store how far the answers are, and do what other processes have asked for."""
        for lease in list(self.held.values()):
            if lease.ending is not None and not lease.is_storing:  # the database was away
                await self._store(lease, lease.ending)
        running = self._running()
        if not running:
            return
        await self._snapshot(running, self._due(running))
        ids = [lease.answer.answer_id for lease in running]
        cancelled, read = await in_database(self._turns.asked_elsewhere, ids)
        for lease in running:
            if lease.answer.answer_id in cancelled:
                lease.answer.end()
            if lease.ending is None:
                lease.set_read_elsewhere(is_read=lease.answer.answer_id in read)

    async def _reap(self) -> None:
        # Our own first: after a moment in which nothing ran here, they are only late.
        late = self._due(self._running())
        if late:
            await self._snapshot([], late)
        await in_database(reap, self._database)

    def _running(self) -> list[Lease]:
        return [lease for lease in self.held.values() if lease.ending is None]

    def _due(self, running: list[Lease]) -> list[Lease]:
        """Those to be renewed."""
        before = time.monotonic() - self._times.lease_s * RENEW_AFTER
        return [lease for lease in running if lease.renewed_at <= before]

    async def _snapshot(self, running: list[Lease], due: list[Lease]) -> None:
        started_at = time.monotonic()
        grown = {
            lease: (number, text)
            for lease in running
            if (number := lease.answer.last_number) != lease.stored_number
            and (text := lease.answer.text)
        }
        due = due or list(grown)  # who is written to anyway is renewed with it
        if not due:
            return
        texts = {lease.opened.row.id: text for lease, (_, text) in grown.items()}
        ids = [lease.answer.answer_id for lease in due]
        living = await in_database(self._turns.snapshot, texts, ids)
        for lease, (number, _) in grown.items():
            lease.stored_number = number
        for lease in due:
            if lease.answer.answer_id in living:
                lease.renewed_at = started_at
            elif lease.ending is None:
                log.warning("Another process took answer %s over", lease.answer.answer_id)
                lease.answer.end(Outcome("stopped", AnswerLostError()))


def _ending(outcome: Outcome, text: str, reply: DeltaStream) -> Ending:
    """What is stored of an answer that ended like this."""
    if outcome.kind == "complete":
        completion = reply.completion
        return Ending("complete", text, usage=completion.usage, timings=completion.timings)
    if outcome.kind == "stopped" and outcome.error is None:
        return Ending("cancelled", text)
    if outcome.kind == "failed" and not text:
        return Ending("failed", text, outcome.error)
    return Ending("partial", text, outcome.error or DrainingError())


def reap(database: Database) -> int:
    """End the answers whose process has died, keeping their stored text; the number of them."""
    at = now()
    with database.read() as reading:  # takes no lock, and mostly finds nothing
        if not generations.expired(reading, at):
            return 0
    with database.write() as writing:
        ended = generations.expire(writing, at)
        messages.abandon(writing, [one.id for one in ended], error_code=AnswerLostError.code)
        for one in ended:
            for row in messages.by_generation(writing, one.id):
                messages.fall_back(writing, row)
    for one in ended:
        log.warning("Answer %s was lost with its process %s", one.id, one.owner)
    return len(ended)
