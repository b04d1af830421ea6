"""Chats: what may be done in the conversation with a character."""

import os
import secrets
import socket
from contextlib import closing
from functools import partial

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.nlp.completion import Message as PromptMessage
from xwe.core.nlp.llm_client import LLMClient
from xwe.errors import (
    AnswerLostError,
    DeadlineExceededError,
    GenerationRunningError,
    UnknownStreamError,
)
from xwe.services.answers import DeltaStream, WholeReply, open_deltas
from xwe.services.chats.answer_leases import AnswerLeases, Lease
from xwe.services.chats.reading import ChatReading
from xwe.services.chats.replay import Followers, has_ended, replayed, stored_error
from xwe.services.chats.turns import Turns
from xwe.services.chats.values import (
    ChatReply,
    ChatTimes,
    Opened,
    PromptLimits,
    Repeated,
    ShownMessage,
    ShownPage,
)
from xwe.storage.database import Database
from xwe.storage.records import Message
from xwe.streams.answer import Answer, AnswerReader
from xwe.streams.answers import Answers
from xwe.streams.notifications import Notifications

# At the process's end, and after a stop, the stored ends are waited for so long.
END_WITHIN_S = 5.0


def process_name() -> str:
    """A name for this process that no other has, also not on another machine."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


class Chats:
    """The chats of all users; every method blocks, and has no place on the loop.

    Args:
        database: where everything is kept.
        client: asks the model.
        answers: the answers of this process.
        notifications: for a user's other pages.
        owner: this process, by a name that no other has; one is made unless given.
        times: of leases, snapshots and checks.
        limits: how much goes into a prompt.
        max_running_each: answers that are made for one user at once, in all processes; None for as
            many as they like.
    """

    def __init__(
        self,
        database: Database,
        client: LLMClient,
        answers: Answers,
        notifications: Notifications,
        *,
        owner: str | None = None,
        times: ChatTimes | None = None,
        limits: PromptLimits | None = None,
        max_running_each: int | None = None,
    ) -> None:
        self._client = client
        self._answers = answers
        self._times = times or ChatTimes()
        self._reading = ChatReading(database)
        self._turns = Turns(
            database,
            owner or process_name(),
            self._times,
            limits or PromptLimits(),
            reserve=answers.reserve,
            max_running_each=max_running_each,
        )
        self._leases = AnswerLeases(self._turns, database, notifications, self._times)
        self._followers = Followers(
            self._reading, self._times, self._turns.keep_read if answers.ends_unread else None
        )

    def start(self) -> None:
        """Keep the leases of answers, and end those that dead processes left. Idempotent."""
        self._leases.start()

    def close(self) -> None:
        """End what runs, and store how far it came. Idempotent."""
        self._followers.close()
        running = list(self._leases.held.values())
        if running:
            self._answers.shut_down()
        for lease in running:
            lease.answer.wait(END_WITHIN_S)
        self._leases.close()

    def say(self, user_id: int, role: str, content: str, client_id: str | None = None) -> Answer:
        """Say something to the character; its answer, while it is being made.

        The same `client_id` again is the same turn: its answer is joined, not made twice.

        Raises:
            NotFoundError: the user has no such character.
            GenerationRunningError: the conversation is being answered already.
            IdempotencyClashError: the `client_id` came with another text.
            LimitExceededError: as many answers are being made for the user as may.
            SaturatedError: as many answers are being made as may.
            DatabaseUnavailableError: nothing is stored.
        """
        return self._streamed(self._turns.say(user_id, role, content, client_id))

    def say_or_join(
        self, user_id: int, role: str, content: str, client_id: str | None = None
    ) -> Answer:
        """As `say`; the very same words that are being answered already are not said again.

        Raises: as `say`.
        """
        try:
            return self.say(user_id, role, content, client_id)
        except GenerationRunningError:
            answer = self._reading.running_answer_to(user_id, role, content)
            if answer is None:
                raise
            return self._stored(user_id, answer)

    def regenerate(
        self, user_id: int, role: str, message_id: int, client_id: str | None = None
    ) -> Answer:
        """Have an answer made once more; the new one is a variant, and shown from now on.

        Raises: as `say`; InvalidRequestError: the message is no answer.
        """
        return self._streamed(self._turns.regenerate(user_id, role, message_id, client_id))

    def reply(
        self, user_id: int, role: str, content: str, client_id: str | None = None
    ) -> ChatReply:
        """Say something to the character, and wait for its whole answer.

        Raises: as `say`; ProviderError: the model gave none; DeadlineExceededError: nor in time.
        """
        opened = self._turns.say(user_id, role, content, client_id)
        if isinstance(opened, Repeated):
            return self._shared(user_id, opened.row)
        self._leases.start()
        with closing(opened.answer.join_at_end()):  # it must not end for want of readers
            return self._wait_for(self._leases.run(opened, self._ask_whole))

    def messages(
        self,
        user_id: int,
        role: str,
        before_seq: int | None = None,
        limit: int = 50,
        *,
        after_seq: int | None = None,
    ) -> ShownPage:
        """The newest messages, ascending; or those before a place, or after one.

        Raises:
            NotFoundError: the user has no such character.
        """
        self._leases.start()
        if after_seq is not None:
            return self._reading.after(user_id, role, after_seq, limit)
        return self._reading.page(user_id, role, before_seq, limit)

    def select_variant(self, user_id: int, role: str, message_id: int) -> ShownMessage:
        """Show this one of an answer's variants.

        Raises:
            NotFoundError: there is no such message.
        """
        return self._reading.select(user_id, role, message_id)

    def answer(self, user_id: int, generation_id: str) -> Message:
        """The row of an answer, as it is stored.

        Raises:
            NotFoundError: there is none, or it is not the user's.
        """
        return self._reading.answer(user_id, generation_id)

    def join(self, user_id: int, generation_id: str, after: int = 0) -> AnswerReader:
        """Join an answer after an event, wherever it is made.

        The events of one that another process makes are numbered anew: they begin with `start`.

        Raises:
            NotFoundError: there is none, or it is not the user's.
            StreamGapError: the events after `after` are gone.
        """
        try:
            answer = self._answers.find(generation_id, str(user_id))
        except UnknownStreamError:
            row = self._reading.answer(user_id, generation_id)
            return self._stored(user_id, row).join()
        # A number that it never had is one of a replay in another process.
        return answer.join(after if after <= answer.last_number else 0)

    def stop(self, user_id: int, generation_id: str) -> None:
        """End an answer, whoever makes it; what has come stands.

        Raises:
            NotFoundError: there is none, or it is not the user's.
        """
        lease = self._leases.held.get(generation_id)
        if lease is None or lease.opened.user_id != user_id:
            self._reading.request_cancel(user_id, generation_id)
            return
        lease.answer.end()
        lease.answer.wait(END_WITHIN_S)  # so that the next message finds the conversation free

    def _streamed(self, opened: Opened | Repeated) -> Answer:
        if isinstance(opened, Repeated):
            return self._stored(opened.user_id, opened.row)
        self._leases.start()
        return self._leases.run(opened, partial(open_deltas, self._client)).answer

    def _ask_whole(self, prompt: list[PromptMessage]) -> DeltaStream:
        if AsyncConfig.is_async_enabled():
            return WholeReply(self._client, prompt)
        return open_deltas(self._client, prompt)

    def _stored(self, user_id: int, row: Message) -> Answer:
        """The answer that is written to this row, whoever makes it."""
        lease = self._leases.held.get(row.generation_id or "")
        if lease is not None:
            return lease.answer
        if row.generation_id is None or has_ended(row):
            return replayed(row, str(user_id))
        return self._followers.follow(user_id, row)

    def _shared(self, user_id: int, row: Message) -> ChatReply:
        """The reply to a request that came before, which may still be on its way."""
        lease = self._leases.held.get(row.generation_id or "")
        if lease is not None:
            with closing(lease.answer.join_at_end()):
                return self._wait_for(lease)
        if row.generation_id is not None and not has_ended(row):
            followed = self._followers.follow(user_id, row)
            with closing(followed.join_at_end()):
                if not followed.wait(self._times.answer_s):
                    raise DeadlineExceededError
            row = self._reading.answer(user_id, row.generation_id)
        if row.status == "failed" or (row.status == "partial" and row.error_code):
            raise stored_error(row)
        return ChatReply(row.content, row.id, row.generation_id, row.status)

    def _wait_for(self, lease: Lease) -> ChatReply:
        if not lease.answer.wait(self._times.answer_s):
            raise DeadlineExceededError
        outcome, ending = lease.answer.outcome, lease.ending
        if outcome is None or ending is None:  # the loop was closed under it
            raise AnswerLostError
        error = outcome.error or ending.error
        if error is not None:
            raise error
        return ChatReply(
            ending.text,
            lease.opened.row.id,
            lease.answer.answer_id,
            ending.status,
            ending.timings,
        )
