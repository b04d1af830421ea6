"""All answers of this process: reserved, found, stopped, drained, and forgotten in time."""

import asyncio
import secrets
import threading
from dataclasses import dataclass
from typing import Literal

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DrainingError, LimitExceededError, SaturatedError, UnknownStreamError
from xwe.streams.answer import SHUTDOWN, Answer
from xwe.streams.event_log import MAX_BYTES

OnDisconnect = Literal["detach", "cancel"]

# Another process is ready by then; a restart takes about as long.
DRAIN_RETRY_AFTER_S = 5.0

# Answers take some seconds, and nobody knows which of an owner's ends next.
OWN_RETRY_AFTER_S = 5.0

# The owner of what people ask who are not signed in: all of them together.
NOBODY = "-"


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Bounds and times of the answers.

    Attributes:
        max_running: answers that run at once.
        max_running_each: those of one owner, other than `NOBODY`.
        max_answer_bytes: memory for the events of one answer; the oldest are dropped.
        max_kept_bytes: memory for those of all ended answers together; the oldest answers are
            dropped.
        keep_s: how long an ended answer can be read again, in seconds.
        on_disconnect: "detach" lets an answer without readers go on, "cancel" stops it.
        alone_s: how long an answer may be without a reader before "cancel" stops it, in seconds;
            a reload of the page takes a few.
    """

    max_running: int = 1000
    max_running_each: int = 1000
    max_answer_bytes: int = MAX_BYTES
    max_kept_bytes: int = 256 << 20
    keep_s: float = 300.0
    on_disconnect: OnDisconnect = "detach"
    alone_s: float = 10.0


class Answers:
    """The answers of this process. Thread-safe.

    Args:
        limits: bounds and times.
    """

    def __init__(self, limits: AnswerLimits | None = None) -> None:
        self._limits = limits or AnswerLimits()
        self._guard = threading.Lock()
        self._running: dict[str, Answer] = {}
        self._ended: dict[str, Answer] = {}  # in the order in which they ended
        self._ended_bytes = 0
        self._draining = False

    @staticmethod
    def new_id() -> str:
        """An id that nobody can guess."""
        return secrets.token_urlsafe(16)

    def reserve(
        self, owner: str, answer_id: str | None = None, *, bound_to_reader: bool = False
    ) -> Answer:
        """A slot for an answer that starts soon.

        Start the answer, or leave it as a context manager to give the slot back.

        Args:
            owner: who may read and stop it.
            answer_id: its name, from `new_id`; a new one unless given.
            bound_to_reader: whether it stops as soon as nobody reads it, and is forgotten when it
                has ended: for readers who could not find it again.

        Raises:
            DrainingError: the process is about to end.
            SaturatedError: as many answers run as may.
            LimitExceededError: as many of the owner's.
        """
        limits = self._limits
        with self._guard:
            if self._draining:
                raise DrainingError(retry_after_s=DRAIN_RETRY_AFTER_S)
            if len(self._running) >= limits.max_running:
                raise SaturatedError(
                    f"{len(self._running)} answers are being streamed: no more right now.",
                    retry_after_s=1.0,
                )
            self._refuse_more_of(owner)
            unread_s = limits.alone_s if self.ends_unread else None
            answer = Answer(
                self.new_id() if answer_id is None else answer_id,
                owner,
                max_bytes=limits.max_answer_bytes,
                unread_s=0.0 if bound_to_reader else unread_s,
                on_released=self._forget if bound_to_reader else self._keep,
            )
            self._running[answer.answer_id] = answer
        return answer

    def _refuse_more_of(self, owner: str) -> None:
        allowed = self._limits.max_running_each
        if owner == NOBODY or len(self._running) < allowed:
            return
        running = sum(other.owner == owner for other in self._running.values())
        if running >= allowed:
            raise too_many_running(running)

    def _forget(self, answer: Answer) -> None:
        with self._guard:
            self._running.pop(answer.answer_id, None)

    def _keep(self, answer: Answer) -> None:
        """Move an answer to the ended ones; a cancelled reservation is forgotten."""
        if not answer.is_ended:
            self._forget(answer)
            return
        with self._guard:
            del self._running[answer.answer_id]
            self._ended[answer.answer_id] = answer
            self._ended_bytes += answer.kept_bytes
            while self._ended_bytes > self._limits.max_kept_bytes:
                self._drop(next(iter(self._ended)))
        # By its id: a timer that holds the answer would keep what has been dropped.
        loop = asyncio.get_running_loop()
        loop.call_later(self._limits.keep_s, self._expire, answer.answer_id)

    def _expire(self, answer_id: str) -> None:
        with self._guard:
            self._drop(answer_id)

    def _drop(self, answer_id: str) -> None:
        answer = self._ended.pop(answer_id, None)
        if answer is not None:
            self._ended_bytes -= answer.kept_bytes

    def find(self, answer_id: str, owner: str) -> Answer:
        """The answer of this id, if it is the owner's.

        Raises:
            UnknownStreamError: there is none, or it is not theirs; the error is the same.
        """
        with self._guard:
            answer = self._running.get(answer_id) or self._ended.get(answer_id)
        if answer is None or answer.owner != owner:
            raise UnknownStreamError
        return answer

    def drain(self, within_s: float) -> None:
        """Take no new answers; those that run may go on for `within_s` seconds."""
        self._draining = True
        loop = get_loop_thread().loop
        loop.call_soon_threadsafe(loop.call_later, within_s, self.shut_down)

    def shut_down(self) -> None:
        """End what still runs with a `data-shutdown` event, so that readers know to come back."""
        self._draining = True
        with self._guard:
            running = list(self._running.values())
        for answer in running:
            answer.end(SHUTDOWN)

    @property
    def ends_unread(self) -> bool:
        """Whether an answer that nobody reads is stopped."""
        return self._limits.on_disconnect == "cancel"

    @property
    def running(self) -> int:
        """The number of answers that run or are reserved."""
        return len(self._running)


def too_many_running(running: int) -> LimitExceededError:
    """The refusal of another answer for somebody who has `running` of them."""
    return LimitExceededError(
        f"You have {running} running answers, which is the limit: wait for one to end, or stop "
        "one.",
        retry_after_s=OWN_RETRY_AFTER_S,
    )
