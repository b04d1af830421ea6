"""`Answer`: whatever is said while it is being made, and its one life.

    reserved ── start ──► running ──► ended, with an Outcome

A *source* produces items (deltas of a model's reply, events of a turn with tools, states of a
task), an *encoder* turns each into events, and the answer numbers and keeps them for its readers.
The source runs on the resident loop, detached from the request: readers come and go, and `end`
stops it from anywhere. What must have happened before readers see the end (storing it) is a hook.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import XweError
from xwe.streams.event_log import MAX_BYTES, EventLog, EventReader

log = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended.

    Attributes:
        kind: "complete", "failed" (`error` says why), "stopped" (by a person, for want of readers,
            or because another process took over: `error` says so) or "shutdown" (by the end of
            this process).
        error: what whoever waits for the whole answer gets.
    """

    kind: Literal["complete", "failed", "stopped", "shutdown"]
    error: XweError | None = None


COMPLETE = Outcome("complete")
STOPPED = Outcome("stopped")
SHUTDOWN = Outcome("shutdown")


class Source(Protocol[T_co]):
    """Where an answer's items come from; read on the resident loop."""

    def __aiter__(self) -> AsyncIterator[T_co]:
        """The items. An XweError ends the answer as failed."""

    async def aclose(self) -> None:
        """Release what it holds, such as the upstream request. Idempotent."""


class Encoder(Protocol[T_contra]):
    """Turns a source's items into events; a state machine without I/O."""

    @property
    def text(self) -> str:
        """What has been said so far."""

    def open(self) -> Sequence[bytes]:
        """The events before the first item."""

    def feed(self, item: T_contra) -> Sequence[bytes]:
        """The events of one item."""

    def close(self, outcome: Outcome) -> Sequence[bytes]:
        """The events after the last item."""


BeforeEnd = Callable[[Outcome], Awaitable[None]]
"""Awaited before any reader sees the end. An XweError turns a complete answer into a failed one."""


class Answer:
    """One answer. Reserved when made; `start` runs it. All methods are thread-safe.

    As a context manager, leaving the block without `start` cancels the reservation.

    Args:
        answer_id: the name that readers ask for.
        owner: who may read and stop it.
        max_bytes: the memory that its events may take; the oldest are dropped.
        unread_s: seconds without a reader after which it is stopped; None lets it go on.
        on_released: called once, when it has ended or its reservation is cancelled.
    """

    def __init__(
        self,
        answer_id: str,
        owner: str,
        *,
        max_bytes: int = MAX_BYTES,
        unread_s: float | None = None,
        on_released: Callable[["Answer"], object] | None = None,
    ) -> None:
        self.answer_id = answer_id
        self.owner = owner
        self.unread_s = unread_s
        self._events = EventLog(
            max_bytes=max_bytes, on_readers=None if unread_s is None else self._readers_changed
        )
        self._on_released = on_released
        self._encoder: Encoder[Any] | None = None
        self._outcome: Outcome | None = None
        # Both belong to the loop's thread.
        self._source_task: asyncio.Task[None] | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    @classmethod
    def ended(cls, answer_id: str, owner: str, events: Sequence[bytes]) -> "Answer":
        """An answer that is over, with these events, for readers who come late."""
        answer = cls(answer_id, owner)
        answer._emit(events)
        answer._events.finish()
        return answer

    # --- what it is ---

    @property
    def is_started(self) -> bool:
        """Whether it is more than a reservation."""
        return self._encoder is not None or self.is_ended

    @property
    def is_ended(self) -> bool:
        """Whether there will be no more events."""
        return self._events.is_finished

    @property
    def outcome(self) -> Outcome | None:
        """How it ends; None while that is open."""
        return self._outcome

    @property
    def text(self) -> str:
        """What has been said so far; kept until the answer has ended."""
        encoder = self._encoder
        return "" if encoder is None else encoder.text

    @property
    def last_number(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._events.last_number

    @property
    def readers(self) -> int:
        """The number of current readers."""
        return self._events.readers

    @property
    def kept_bytes(self) -> int:
        """The memory that its events take, in bytes."""
        return self._events.kept_bytes

    # --- reading ---

    def join(self, after: int = 0) -> "AnswerReader":
        """A reader of the events after number `after`; close it when done.

        Raises:
            StreamGapError: those events were dropped, or never existed.
        """
        return AnswerReader(self, self._events, after)

    def join_at_end(self) -> "AnswerReader":
        """A reader of new events only; also what keeps an answer from ending unread."""
        return AnswerReader(self, self._events, None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the answer has ended; False after `timeout_s` seconds."""
        return self._events.wait_for_finish(timeout_s)

    # --- its life ---

    def start(
        self, source: Source[T], encoder: Encoder[T], before_end: BeforeEnd | None = None
    ) -> Self:
        """Run `source` on the resident loop, in a copy of the caller's context.

        Raises:
            ClosedError: the loop is closed, as when the process ends.
        """
        self._encoder = encoder
        try:
            get_loop_thread().submit(self._run(source, encoder, before_end))
        except BaseException:
            self._encoder = None
            raise
        if self.unread_s is not None:
            self._readers_changed()
        return self

    def end(self, outcome: Outcome = STOPPED) -> None:
        """End it with this outcome; what has come stands. No effect on one that ends already."""
        _on_loop(self._end, outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.is_started:
            self._release()

    def _end(self, outcome: Outcome) -> None:
        task = self._source_task
        if self._outcome is None and not (task is not None and task.done()):
            self._outcome = outcome
            if task is not None:
                task.cancel()

    async def _run(
        self, source: Source[T], encoder: Encoder[T], before_end: BeforeEnd | None
    ) -> None:
        # A task of its own: what cancels the source never hits the storing of the end.
        self._source_task = asyncio.create_task(self._feed(source, encoder))
        if self._outcome is not None:  # ended before it began
            self._source_task.cancel()
        try:
            await asyncio.wait({self._source_task})
            outcome = self._outcome = self._outcome or COMPLETE
            if before_end is not None:
                outcome = self._outcome = await self._prepare_end(before_end, outcome)
            self._emit(encoder.close(outcome))
        finally:
            if self._unread_timer is not None:
                self._unread_timer.cancel()
            self._source_task = None
            self._events.finish()
            self._encoder = None  # the events say it all; the text is not kept twice
            self._release()

    async def _feed(self, source: Source[T], encoder: Encoder[T]) -> None:
        emit, feed = self._emit, encoder.feed
        try:
            emit(encoder.open())
            async for item in source:
                emit(feed(item))
        except Exception as error:  # noqa: BLE001 - logged where nobody foresaw it
            self._outcome = self._outcome or self._failed(error)
        finally:
            await source.aclose()

    async def _prepare_end(self, before_end: BeforeEnd, outcome: Outcome) -> Outcome:
        try:
            await before_end(outcome)
        except Exception as error:  # noqa: BLE001 - as above
            failed = self._failed(error)
            # What ended the answer in the first place matters more to its readers.
            return failed if outcome.kind == "complete" else outcome
        return outcome

    def _failed(self, error: Exception) -> Outcome:
        if not isinstance(error, XweError):
            log.error("Answer %s broke", self.answer_id, exc_info=error)
            error = XweError("Something went wrong on this side; its log knows more.")
        # Without the traceback, whose frames lead back here: an ended answer is freed at once.
        return Outcome("failed", error.with_traceback(None))

    def _emit(self, events: Sequence[bytes]) -> None:
        # The one place where events leave the answer for its readers, in this process or another.
        self._events.extend(events)

    def _release(self) -> None:
        on_released, self._on_released = self._on_released, None
        if on_released is not None:
            on_released(self)

    def _readers_changed(self) -> None:
        if self.is_started and not self.is_ended:
            _on_loop(self._watch_readers)

    def _watch_readers(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        # Asked now, not when the reader came or went: two such calls may overtake each other.
        if self.unread_s is not None and not self.readers and not self.is_ended:
            loop = asyncio.get_running_loop()
            self._unread_timer = loop.call_later(self.unread_s, self._end_unread)

    def _end_unread(self) -> None:
        # A reader may have joined whose call is still queued behind this timer.
        if not self.readers:
            self._end(STOPPED)


class AnswerReader(EventReader):
    """One reader of an answer; see `EventReader`."""

    def __init__(self, answer: Answer, events: EventLog, after: int | None) -> None:
        super().__init__(events, after)
        self.answer = answer


def _on_loop(function: Callable[..., object], *args: object) -> None:
    thread = get_loop_thread()
    if thread.is_current():
        function(*args)
    else:
        thread.loop.call_soon_threadsafe(function, *args)
