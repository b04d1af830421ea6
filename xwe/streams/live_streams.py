"""All live answers of this process: begun, found again, stopped, and forgotten in time.

An answer is generated on the resident loop, detached from the connection that asked for it: a
reader that leaves can come back, and the generation goes on or is ended as the policy says.
"""

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DrainingError, LimitExceededError, SaturatedError, UnknownStreamError
from xwe.streams import ui_messages
from xwe.streams.live_stream import MAX_BYTES, LiveStream

log = logging.getLogger(__name__)

OnDisconnect = Literal["detach", "cancel"]

# Where another process will be ready to take over; a restart takes about so long.
DRAIN_RETRY_AFTER_S = 5.0

# An answer takes some seconds, and which of an owner's ends next is not known.
OWN_RETRY_AFTER_S = 5.0

# The owner of what people ask who are not signed in: all of them together.
NOBODY = "-"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds and times of the live answers.

    Attributes:
        max_running: answers that are being made at once.
        max_running_each: those of one owner, other than `NOBODY`.
        max_stream_bytes: memory for the events of one answer; the oldest go first.
        max_kept_bytes: memory for those of all finished answers together; the oldest answers go
            first.
        keep_s: how long a finished answer can be read again, in seconds.
        on_disconnect: "detach" lets an answer go on that nobody reads, "cancel" ends it.
        alone_s: how long an answer may be without a reader before "cancel" ends it, in seconds;
            a reload of the page takes a few.
    """

    max_running: int = 1000
    max_running_each: int = 1000
    max_stream_bytes: int = MAX_BYTES
    max_kept_bytes: int = 256 << 20
    keep_s: float = 300.0
    on_disconnect: OnDisconnect = "detach"
    alone_s: float = 10.0


class _Generation:
    """A stream with the task that fills it; all but `stream` belongs to the loop's thread."""

    def __init__(self, stream: LiveStream) -> None:
        self.stream = stream
        self.source_task: asyncio.Task[None] | None = None
        self.alone: asyncio.TimerHandle | None = None
        self.parting: bytes | None = None

    async def run(self, source: AsyncGenerator[bytes, None]) -> None:
        """Fill the stream to its end, or until `end`."""
        # A task of its own: what cancels the source can never hit the stream's own end.
        self.source_task = asyncio.create_task(self._copy(source))
        if self.parting is not None:  # it was ended before it began
            self.source_task.cancel()
        try:
            await asyncio.wait({self.source_task})
        finally:
            if self.alone is not None:
                self.alone.cancel()
            if self.parting is not None:
                self.stream.append(self.parting)
            self.stream.finish()

    async def _copy(self, source: AsyncGenerator[bytes, None]) -> None:
        append = self.stream.append
        try:
            async for event in source:
                append(event)
        except Exception:
            log.exception("Live answer %s broke", self.stream.stream_id)
            self.parting = self.parting or ui_messages.INTERNAL_ERROR
        finally:
            await source.aclose()

    def end(self, parting: bytes) -> None:
        """Cancel the source; the last event will be `parting`."""
        task = self.source_task
        if self.parting is None and (task is None or not task.done()):
            self.parting = parting
            if task is not None:
                task.cancel()

    def watch_readers(self, alone_s: float) -> None:
        """End it in `alone_s` seconds unless somebody reads."""
        if self.alone is not None:
            self.alone.cancel()
            self.alone = None
        # Asked now, not when the reader came or went: two of those may overtake each other.
        if not self.stream.readers and not self.stream.is_finished:
            loop = asyncio.get_running_loop()
            self.alone = loop.call_later(alone_s, self._end_unread)

    def _end_unread(self) -> None:
        # Somebody may have come whose word is still waiting behind this timer.
        if not self.stream.readers:
            self.end(ui_messages.ABORT)


class Place:
    """Room for one answer: who has it may store what the answer is to, for it will not be refused.

    Left as a context manager it is given back, unless the answer has begun.
    """

    def __init__(self, streams: "LiveStreams", generation: _Generation) -> None:
        self._streams = streams
        self._generation = generation
        self._has_begun = False

    @property
    def stream(self) -> LiveStream:
        """The answer's stream, in which nothing happens before `begin`."""
        return self._generation.stream

    def begin(self, source: AsyncGenerator[bytes, None]) -> LiveStream:
        """Start the answer whose events are `source`'s; see `LiveStreams.begin`.

        Raises:
            ClosedError: the loop has been closed, as at the process's end.
        """
        self._streams._start(self._generation, source)  # noqa: SLF001 - the two are one mechanism
        self._has_begun = True
        return self.stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._has_begun:
            self._streams._give_back(self._generation)  # noqa: SLF001


class LiveStreams:
    """The answers of this process.

    Args:
        limits: bounds and times.
    """

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self._limits = limits or StreamLimits()
        self._guard = threading.Lock()
        self._running: dict[str, _Generation] = {}
        self._finished: dict[str, LiveStream] = {}  # in the order in which they finished
        self._finished_bytes = 0
        self._draining = False

    @staticmethod
    def new_id() -> str:
        """A name that nobody can guess."""
        return secrets.token_urlsafe(16)

    def begin(self, source: AsyncGenerator[bytes, None], owner: str, stream_id: str) -> LiveStream:
        """Start an answer whose events are `source`'s; it runs in a copy of the caller's context.

        `source` turns its own errors into events: one that gets out is logged, and readers are
        told that something went wrong.

        Args:
            source: the events, in order.
            owner: who may read it.
            stream_id: its name, from `new_id`.

        Raises:
            SaturatedError: as many answers are being made as may.
            LimitExceededError: as many of the owner's.
            DrainingError: the process is about to end.
        """
        with self.reserve(owner, stream_id) as place:
            return place.begin(source)

    def reserve(self, owner: str, stream_id: str) -> Place:
        """Room for an answer that is to begin soon.

        Raises: as `begin`.
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
            stream = LiveStream(
                stream_id,
                owner,
                max_bytes=limits.max_stream_bytes,
                on_readers=self._watch_readers if self.ends_unread else None,
            )
            generation = self._running[stream_id] = _Generation(stream)
        return Place(self, generation)

    def _start(self, generation: _Generation, source: AsyncGenerator[bytes, None]) -> None:
        get_loop_thread().submit(self._generate(generation, source))
        self._watch_readers(generation.stream)

    def _give_back(self, generation: _Generation) -> None:
        with self._guard:
            self._running.pop(generation.stream.stream_id, None)

    def _refuse_more_of(self, owner: str) -> None:
        allowed = self._limits.max_running_each
        if owner == NOBODY or len(self._running) < allowed:
            return
        running = sum(other.stream.owner == owner for other in self._running.values())
        if running >= allowed:
            raise LimitExceededError(
                f"{running} answers are being made for you, which is as many as may: wait for one "
                "to end, or stop one.",
                retry_after_s=OWN_RETRY_AFTER_S,
            )

    async def _generate(self, generation: _Generation, source: AsyncGenerator[bytes, None]) -> None:
        stream = generation.stream
        try:
            await generation.run(source)
        finally:
            with self._guard:
                del self._running[stream.stream_id]
                self._finished[stream.stream_id] = stream
                self._finished_bytes += stream.kept_bytes
                while self._finished_bytes > self._limits.max_kept_bytes:
                    self._drop(next(iter(self._finished)))
            # By its name: a timer that holds the stream would keep what has been dropped.
            loop = asyncio.get_running_loop()
            loop.call_later(self._limits.keep_s, self._expire, stream.stream_id)

    def _expire(self, stream_id: str) -> None:
        with self._guard:
            self._drop(stream_id)

    def _drop(self, stream_id: str) -> None:
        stream = self._finished.pop(stream_id, None)
        if stream is not None:
            self._finished_bytes -= stream.kept_bytes

    def find(self, stream_id: str, owner: str) -> LiveStream:
        """The stream of this name, if it is the owner's.

        Raises:
            UnknownStreamError: there is none, or none of theirs: indistinguishable.
        """
        with self._guard:
            generation = self._running.get(stream_id)
            stream = self._finished.get(stream_id) if generation is None else generation.stream
        if stream is None or stream.owner != owner:
            raise UnknownStreamError
        return stream

    def stop(self, stream_id: str, owner: str) -> None:
        """End an answer now; what came until then stands. One that has ended stays as it is.

        Raises:
            UnknownStreamError: as `find`.
        """
        self.find(stream_id, owner)
        generation = self._running.get(stream_id)
        if generation is not None:
            _on_loop(generation.end, ui_messages.ABORT)

    def _watch_readers(self, stream: LiveStream) -> None:
        generation = self._running.get(stream.stream_id)
        if generation is not None and self.ends_unread:
            _on_loop(generation.watch_readers, self._limits.alone_s)

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
        for generation in running:
            _on_loop(generation.end, ui_messages.SHUTDOWN)

    @property
    def ends_unread(self) -> bool:
        """Whether an answer that nobody reads is ended."""
        return self._limits.on_disconnect == "cancel"

    @property
    def is_draining(self) -> bool:
        """Whether the process is about to end."""
        return self._draining

    @property
    def running(self) -> int:
        """Answers that are being made."""
        return len(self._running)


def _on_loop(function: Callable[..., object], *args: object) -> None:
    thread = get_loop_thread()
    if thread.is_current():
        function(*args)
    else:
        thread.loop.call_soon_threadsafe(function, *args)
