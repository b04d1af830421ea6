"""Chats: what may be done in the conversation with a character."""

import os
import secrets
import socket
from concurrent.futures import TimeoutError as WaitTimeoutError
from contextlib import closing
from functools import partial

from xwe.core.concurrency.async_config import AsyncConfig
from xwe.core.nlp.completion import Message as PromptMessage
from xwe.core.nlp.llm_client import LLMClient
from xwe.errors import DeadlineExceededError, GenerationRunningError, UnknownStreamError, XweError
from xwe.services.answers import DeltaStream, open_deltas
from xwe.services.chats.answering import Answering, Whole
from xwe.services.chats.following import Followers
from xwe.services.chats.keeping import Keeper
from xwe.services.chats.reading import ChatReading
from xwe.services.chats.rebuilding import has_ended, rebuilt, stored_error
from xwe.services.chats.turn import Turn
from xwe.services.chats.turns import Turns
from xwe.services.chats.values import (
    ChatTimes,
    Joined,
    Opened,
    PromptLimits,
    Repeated,
    Reply,
    ShownMessage,
    ShownPage,
)
from xwe.storage.database import Database
from xwe.storage.records import Message
from xwe.streams.live_stream import LiveStream
from xwe.streams.live_streams import LiveStreams
from xwe.streams.notifications import Notifications

# At the end, and after a stop, the rows' ends are waited for so long.
END_WITHIN_S = 5.0


def process_name() -> str:
    """A name for this process that no other has, also not on another machine."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


class Chats:
    """The chats of all users; every method blocks, and has no place on the loop.

    Args:
        database: where everything is kept.
        client: asks the model.
        streams: the live answers of this process.
        notifications: tells a user's other pages.
        owner: this process, by a name that no other has; one is made unless given.
        times: of leases, snapshots and looks.
        limits: how much goes into a prompt.
        max_running_each: answers that are made for one user at once, in all processes; None for as
            many as they like.
    """

    def __init__(
        self,
        database: Database,
        client: LLMClient,
        streams: LiveStreams,
        notifications: Notifications,
        *,
        owner: str | None = None,
        times: ChatTimes | None = None,
        limits: PromptLimits | None = None,
        max_running_each: int | None = None,
    ) -> None:
        self._client = client
        self._streams = streams
        self._times = times or ChatTimes()
        self._reading = ChatReading(database)
        self._turns = Turns(
            database,
            owner or process_name(),
            self._times,
            limits or PromptLimits(),
            reserve=streams.reserve,
            max_running_each=max_running_each,
        )
        self._answering = Answering(self._turns, streams, notifications)
        self._keeper = Keeper(self._answering, self._turns, database, self._times)
        self._followers = Followers(
            self._reading,
            self._times,
            self._turns.keep_read if streams.ends_unread else None,
        )

    def start(self) -> None:
        """Look after answers, also those that other processes have left behind. Idempotent."""
        self._keeper.start()

    def close(self) -> None:
        """End what runs, and store how far it came. Idempotent."""
        self._followers.close()
        running = list(self._answering.running.values())
        if running:
            self._streams.shut_down()
        for turn in running:
            _wait(turn)
        self._keeper.close()

    def say(
        self, user_id: int, role: str, content: str, client_id: str | None = None
    ) -> LiveStream:
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
    ) -> LiveStream:
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
    ) -> LiveStream:
        """Have an answer made once more; the new one is a variant, and shown from now on.

        Raises: as `say`; InvalidRequestError: the message is no answer.
        """
        return self._streamed(self._turns.regenerate(user_id, role, message_id, client_id))

    def reply(self, user_id: int, role: str, content: str, client_id: str | None = None) -> Reply:
        """Say something to the character, and wait for its whole answer.

        Raises: as `say`; ProviderError: the model gave none; DeadlineExceededError: nor in time.
        """
        opened = self._turns.say(user_id, role, content, client_id)
        if isinstance(opened, Repeated):
            return self._shared(user_id, opened.answer)
        self._keeper.start()
        with closing(opened.place.stream.attend()):
            return self._wait_for(self._answering.begin(opened, self._ask_whole))

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
        self._keeper.start()
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
        """The row of an answer, as it is stored by now.

        Raises:
            NotFoundError: there is none, or it is not the user's.
        """
        return self._reading.answer(user_id, generation_id)

    def join(self, user_id: int, generation_id: str, after: int = 0) -> Joined:
        """A stored answer from after an event on, whoever makes it.

        The events of one that is not of this process are numbered anew: they begin with `start`.

        Raises:
            NotFoundError: there is none, or it is not the user's.
        """
        try:
            stream = self._streams.find(generation_id, str(user_id))
        except UnknownStreamError:
            answer = self._reading.answer(user_id, generation_id)
            return Joined(self._stored(user_id, answer), 0)
        # A number that it never had is of the stream that another process has rebuilt.
        return Joined(stream, after if after <= stream.last_number else 0)

    def stop(self, user_id: int, generation_id: str) -> None:
        """End an answer, whoever makes it; what has come stands.

        Raises:
            NotFoundError: there is none, or it is not the user's.
        """
        turn = self._answering.running.get(generation_id)
        if turn is None or turn.opened.user_id != user_id:
            self._reading.request_cancel(user_id, generation_id)
            return
        self._answering.stop(turn)
        _wait(turn)  # so that the next message finds the conversation free

    def _streamed(self, opened: Opened | Repeated) -> LiveStream:
        if isinstance(opened, Repeated):
            return self._stored(opened.user_id, opened.answer)
        self._keeper.start()
        return self._answering.begin(opened, partial(open_deltas, self._client)).stream

    def _ask_whole(self, prompt: list[PromptMessage]) -> DeltaStream:
        if AsyncConfig.is_async_enabled():
            return Whole(self._client, prompt)
        return open_deltas(self._client, prompt)

    def _stored(self, user_id: int, answer: Message) -> LiveStream:
        """The stream of an answer that has a row."""
        generation_id = answer.generation_id
        if generation_id is not None:
            turn = self._answering.running.get(generation_id)
            if turn is not None:
                return turn.stream
        if generation_id is None or has_ended(answer):
            return rebuilt(answer, str(user_id))
        return self._followers.follow(user_id, answer)

    def _shared(self, user_id: int, answer: Message) -> Reply:
        """The reply to a request that came before, which may still be on its way."""
        generation_id = answer.generation_id
        turn = None if generation_id is None else self._answering.running.get(generation_id)
        if turn is not None:
            with closing(turn.stream.attend()):
                return self._wait_for(turn)
        if not has_ended(answer) and generation_id is not None:
            with closing(self._followers.follow(user_id, answer).join()) as reader:
                while not reader.has_ended:
                    try:
                        reader.drain(self._times.answer_s)
                    except TimeoutError:
                        raise DeadlineExceededError from None
            answer = self._reading.answer(user_id, generation_id)
        if answer.status == "failed" or (answer.status == "partial" and answer.error_code):
            raise stored_error(answer)
        return Reply(answer.content, answer.id, answer.generation_id, answer.status)

    def _wait_for(self, turn: Turn) -> Reply:
        try:
            return turn.done.result(self._times.answer_s)
        except WaitTimeoutError as error:
            # An error of the model may be a TimeoutError too.
            if isinstance(error, XweError):
                raise
            raise DeadlineExceededError from None


def _wait(turn: Turn) -> None:
    """Until the turn's end is stored, or has been tried to."""
    try:
        turn.done.exception(END_WITHIN_S)
    except WaitTimeoutError:
        return
