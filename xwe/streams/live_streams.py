"""All live answers of this process: begun, found again, stopped, and forgotten in time.

An answer is generated on the resident loop, detached from the connection that asked for it: a
reader that leaves can come back, and the generation goes on or is ended as the policy says.
"""

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import DrainingError, SaturatedError, UnknownStreamError
from xwe.streams import ui_messages
from xwe.streams.live_stream import LiveStream

OnDisconnect = Literal["detach", "cancel"]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds and times of the live answers.

    Attributes:
        max_running: answers that are being made at once.
        max_kept_bytes: memory for all events together; the oldest finished answers go first.
        keep_s: how long a finished answer can be read again, in seconds.
        on_disconnect: "detach" lets an answer go on that nobody reads, "cancel" ends it.
        alone_s: how long an answer may be without a reader before "cancel" ends it, in seconds;
            a reload of the page takes a few.
    """

    max_running: int = 1000
    max_kept_bytes: int = 256 << 20
    keep_s: float = 300.0
    on_disconnect: OnDisconnect = "detach"
    alone_s: float = 10.0


class _Generation:
    """A stream with the task that fills it; on the loop's thread, but for `stream`."""

    def __init__(self, stream: LiveStream) -> None:
        self.stream = stream
        self.task: asyncio.Task[None] | None = None
        self.alone: asyncio.TimerHandle | None = None
        self.parting: bytes | None = None


class LiveStreams:
    """The answers of this process.

    Args:
        limits: bounds and times.
    """

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self._limits = limits or StreamLimits()
        self._guard = threading.Lock()
        self._generations: dict[str, _Generation] = {}
        self._running = 0
        self._draining = False

    @staticmethod
    def new_id() -> str:
        """A name that nobody can guess."""
        return secrets.token_urlsafe(16)

    def begin(self, source: AsyncGenerator[bytes, None], owner: str, stream_id: str) -> LiveStream:
        """Start an answer whose events are `source`'s; it runs in a copy of the caller's context.

        `source` turns its own errors into events: one that gets out is logged and ends the stream.

        Args:
            source: the events, in order.
            owner: who may read it.
            stream_id: its name, from `new_id`.

        Raises:
            SaturatedError: as many answers are being made as may.
            DrainingError: the process is about to end.
        """
        generation = self._admit(owner, stream_id)
        try:
            get_loop_thread().submit(self._generate(generation, source))
        except BaseException:
            self._forget(generation)
            with self._guard:
                self._running -= 1
            raise
        return generation.stream

    def _admit(self, owner: str, stream_id: str) -> _Generation:
        with self._guard:
            if self._draining:
                raise DrainingError(retry_after_s=5.0)
            if self._running >= self._limits.max_running:
                raise SaturatedError(
                    f"{self._running} answers are being streamed: no more right now.",
                    retry_after_s=1.0,
                )
            self._running += 1
            self._make_room()
            generation = _Generation(LiveStream(stream_id, owner))
            self._generations[stream_id] = generation
        if self._limits.on_disconnect == "cancel":
            generation.stream.on_readers = lambda count: self._readers_changed(generation, count)
        return generation

    def _make_room(self) -> None:
        kept = sum(g.stream.kept_bytes for g in self._generations.values())
        for stream_id, generation in list(self._generations.items()):
            if kept <= self._limits.max_kept_bytes:
                return
            if generation.stream.is_finished:
                kept -= generation.stream.kept_bytes
                del self._generations[stream_id]

    async def _generate(self, generation: _Generation, source: AsyncGenerator[bytes, None]) -> None:
        generation.task = asyncio.current_task()
        stream = generation.stream
        try:
            async for event in source:
                stream.append(event)
        except asyncio.CancelledError:
            if generation.parting is None:  # not asked for by us: the loop is being closed
                raise
        finally:
            await source.aclose()
            if generation.parting is not None:
                stream.append(generation.parting)
            stream.finish()
            with self._guard:
                self._running -= 1
            if generation.alone is not None:
                generation.alone.cancel()
            loop = asyncio.get_running_loop()
            loop.call_later(self._limits.keep_s, self._forget, generation)

    def _forget(self, generation: _Generation) -> None:
        with self._guard:
            self._generations.pop(generation.stream.stream_id, None)

    def find(self, stream_id: str, owner: str) -> LiveStream:
        """The stream of this name, if it is the owner's.

        Raises:
            UnknownStreamError: there is none, or none of theirs: indistinguishable.
        """
        generation = self._generations.get(stream_id)
        if generation is None or generation.stream.owner != owner:
            raise UnknownStreamError
        return generation.stream

    def stop(self, stream_id: str, owner: str) -> None:
        """End an answer now; what came until then stands. One that has ended stays as it is.

        Raises:
            UnknownStreamError: as `find`.
        """
        stream = self.find(stream_id, owner)
        generation = self._generations.get(stream.stream_id)
        if generation is not None and not stream.is_finished:
            _on_loop(self._end, generation, ui_messages.ABORT)

    @staticmethod
    def _end(generation: _Generation, parting: bytes) -> None:
        """Cancel the generation; its last event will be `parting`. On the loop's thread."""
        task = generation.task
        if task is not None and not task.done() and generation.parting is None:
            generation.parting = parting
            task.cancel()

    def _readers_changed(self, generation: _Generation, readers: int) -> None:
        def change() -> None:
            if generation.alone is not None:
                generation.alone.cancel()
                generation.alone = None
            if not readers and not generation.stream.is_finished:
                generation.alone = asyncio.get_running_loop().call_later(
                    self._limits.alone_s, self._end, generation, ui_messages.ABORT
                )

        _on_loop(change)

    def drain(self) -> None:
        """Take no new answers; those that run go on. Idempotent."""
        self._draining = True

    def shut_down(self) -> None:
        """End what still runs with a `data-shutdown` event, so that readers know to come back."""
        self._draining = True
        parting = ui_messages.event("data-shutdown", data={"retryable": True}, transient=True)
        for generation in list(self._generations.values()):
            if not generation.stream.is_finished:
                _on_loop(self._end, generation, parting)

    @property
    def running(self) -> int:
        """Answers that are being made."""
        return self._running


def _on_loop(function: Callable[..., object], *args: object) -> None:
    thread = get_loop_thread()
    if thread.is_current():
        function(*args)
    else:
        thread.loop.call_soon_threadsafe(function, *args)
