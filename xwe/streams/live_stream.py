"""An answer while it is being made, and for a while afterwards.

Its events are numbered from 1 and kept, so that a reader who lost the connection joins again after
the last number it saw and misses nothing. The one who writes never waits for those who read.
"""

import threading
from collections.abc import Callable

from xwe.errors import ClosedError, StreamGapError

# Whole answers are small: this is some ten times the longest that models write. Beyond it the
# oldest events go, and who wants to join before them is told so.
MAX_BYTES = 4 << 20

# What CPython takes for a bytes object and its place in the list; events are often smaller.
EVENT_OVERHEAD_BYTES = 48

Wake = Callable[[], object]


class LiveStream:
    """Numbered events from one writer to any number of readers. Thread-safe.

    Args:
        stream_id: what readers ask for.
        owner: who may read it.
        max_bytes: of events that are kept.
        on_readers: called after a reader has come or gone, on that reader's thread.
    """

    def __init__(
        self,
        stream_id: str,
        owner: str,
        *,
        max_bytes: int = MAX_BYTES,
        on_readers: Callable[["LiveStream"], object] | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.owner = owner
        self._max_bytes = max_bytes
        self._on_readers = on_readers
        self._guard = threading.Lock()
        self._events: list[bytes] = []
        self._dropped = 0
        self._bytes = 0
        self._finished = False
        self._readers = 0
        self._wakes: list[Wake] = []

    @property
    def last_number(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._dropped + len(self._events)

    @property
    def is_finished(self) -> bool:
        """Whether there will be no more events."""
        return self._finished

    @property
    def readers(self) -> int:
        """How many read it now."""
        return self._readers

    @property
    def kept_bytes(self) -> int:
        """How much memory its events take, in bytes."""
        return self._bytes

    def append(self, event: bytes) -> int:
        """Add an event; its number.

        Raises:
            ClosedError: the stream has been finished.
        """
        with self._guard:
            if self._finished:
                raise ClosedError("The stream has been finished.")
            self._events.append(event)
            self._bytes += len(event) + EVENT_OVERHEAD_BYTES
            if self._bytes > self._max_bytes:
                self._drop_oldest()
            number = self.last_number
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()
        return number

    def _drop_oldest(self) -> None:
        # A quarter at a time: dropping one by one from a list's front would cost its length each.
        dropped = 0
        while self._bytes > self._max_bytes * 3 // 4 and dropped < len(self._events) - 1:
            self._bytes -= len(self._events[dropped]) + EVENT_OVERHEAD_BYTES
            dropped += 1
        del self._events[:dropped]
        self._dropped += dropped

    def finish(self) -> None:
        """There will be no more events. Idempotent."""
        with self._guard:
            self._finished = True
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    def join(self, after: int = 0) -> "StreamReader":
        """A reader of the events after number `after`; it must be closed.

        Raises:
            StreamGapError: those events are not kept any more, or never were.
        """
        with self._guard:
            if not self._dropped <= after <= self.last_number:
                raise self._gap(after)
            self._readers += 1
        self._tell_of_readers()
        return StreamReader(self, after)

    def attend(self) -> "StreamReader":
        """A reader of what comes from now on, for who waits for the end alone; to be closed."""
        with self._guard:
            self._readers += 1
            after = self.last_number
        self._tell_of_readers()
        return StreamReader(self, after)

    def _gap(self, after: int) -> StreamGapError:
        return StreamGapError(after=after, first=self._dropped + 1, last=self.last_number)

    def _take(self, after: int, wake: Wake) -> list[bytes] | None:
        """The events after `after`, [] at the end, or None after having kept `wake`."""
        with self._guard:
            if after < self._dropped:
                raise self._gap(after)
            events = self._events[after - self._dropped :]
            if not events and not self._finished:
                self._wakes.append(wake)
                return None
            return events

    def _forget(self, wake: Wake) -> None:
        with self._guard:
            if wake in self._wakes:
                self._wakes.remove(wake)

    def _leave(self) -> None:
        with self._guard:
            self._readers -= 1
        self._tell_of_readers()

    def _tell_of_readers(self) -> None:
        if self._on_readers is not None:
            self._on_readers(self)


class StreamReader:
    """One reader's place in a stream; for one thread at a time.

    Attributes:
        number: of the last event that was taken.
    """

    def __init__(self, stream: LiveStream, after: int) -> None:
        self._stream = stream
        self._wake: Wake | None = None
        self._closed = False
        self.number = after

    @property
    def has_ended(self) -> bool:
        """Whether the last event has been taken and there will be no more."""
        # In this order: a finished stream does not grow.
        return self._stream.is_finished and self.number == self._stream.last_number

    def poll(self, wake: Wake) -> list[bytes] | None:
        """All events that there are by now; [] at the end.

        None when there is none yet: `wake` is called once, from the writer's thread, when there
        is. It must not block.

        Raises:
            StreamGapError: the reader was so slow that its next events are gone.
        """
        events = self._stream._take(self.number, wake)  # noqa: SLF001 - the two are one mechanism
        if events is None:
            self._wake = wake
        else:
            self.number += len(events)
        return events

    def drain(self, timeout_s: float | None = None) -> list[bytes]:
        """Wait for the next event and take all there are by then; [] at the end.

        Raises:
            TimeoutError: there was none within `timeout_s` seconds.
            StreamGapError: as `poll`.
        """
        # One for each wait: a wake-up that comes late finds a lock that nobody waits for.
        ready = threading.Lock()
        ready.acquire()
        while (events := self.poll(ready.release)) is None:
            if not ready.acquire(timeout=-1 if timeout_s is None else timeout_s):
                self._forget_wake()
                raise TimeoutError(f"No event within {timeout_s:g} s.")
        return events

    def close(self) -> None:
        """Leave the stream. Idempotent."""
        if not self._closed:
            self._closed = True
            self._forget_wake()
            self._stream._leave()  # noqa: SLF001

    def _forget_wake(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            self._stream._forget(wake)  # noqa: SLF001
