"""Numbered events of one answer, from one writer to any number of readers.

Events are numbered from 1 and kept, so that a reader whose connection broke can go on after the
last number it saw. The writer never waits for a reader.
"""

import threading
from collections.abc import Callable, Sequence

from xwe.errors import ClosedError, StreamGapError

# Ten times the longest answer that models write. Beyond it the oldest events are dropped, and a
# reader who asks for them gets a StreamGapError.
MAX_BYTES = 4 << 20

# CPython's cost of a bytes object and its slot in the list; many events are smaller than this.
EVENT_OVERHEAD_BYTES = 48

Wake = Callable[[], object]


class EventLog:
    """Numbered events from one writer to any number of readers. Thread-safe.

    Args:
        max_bytes: the memory that its events may take, in bytes.
        on_readers: called after a reader has joined or left, on that reader's thread; not after
            the end.
    """

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, on_readers: Callable[[], object] | None = None
    ) -> None:
        self._max_bytes = max_bytes
        self._on_readers = on_readers
        self._guard = threading.Lock()
        self._events: list[bytes] = []
        self._dropped = 0
        self._bytes = 0
        self._finished = False
        self._finish_event: threading.Event | None = None
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
        """The number of current readers."""
        return self._readers

    @property
    def kept_bytes(self) -> int:
        """The memory that its events take, in bytes."""
        return self._bytes

    def extend(self, events: Sequence[bytes]) -> None:
        """Add events.

        Raises:
            ClosedError: the log is finished.
        """
        if not events:
            return
        size = sum(map(len, events)) + EVENT_OVERHEAD_BYTES * len(events)
        with self._guard:
            if self._finished:
                raise ClosedError("The stream is finished.")
            self._events += events
            self._bytes += size
            if self._bytes > self._max_bytes:
                self._drop_oldest()
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    def _drop_oldest(self) -> None:
        # A quarter at a time: deleting from a list's front costs its whole length.
        dropped = 0
        while self._bytes > self._max_bytes * 3 // 4 and dropped < len(self._events) - 1:
            self._bytes -= len(self._events[dropped]) + EVENT_OVERHEAD_BYTES
            dropped += 1
        del self._events[:dropped]
        self._dropped += dropped

    def finish(self) -> None:
        """Mark the end: there will be no more events. Idempotent."""
        with self._guard:
            self._finished = True
            self._on_readers = None
            wakes, self._wakes = self._wakes, []
            finish_event = self._finish_event
        if finish_event is not None:
            finish_event.set()
        for wake in wakes:
            wake()

    def wait_for_finish(self, timeout_s: float | None = None) -> bool:
        """Block until `finish`; False after `timeout_s` seconds."""
        with self._guard:
            if self._finished:
                return True
            if self._finish_event is None:
                self._finish_event = threading.Event()
            finish_event = self._finish_event
        return finish_event.wait(timeout_s)

    def _enter(self, after: int | None) -> int:
        """Count a reader that goes on after that number, or at the end; the number."""
        with self._guard:
            number = self.last_number if after is None else after
            if not self._dropped <= number <= self.last_number:
                raise self._gap(number)
            self._readers += 1
        self._report_readers()
        return number

    def _gap(self, after: int) -> StreamGapError:
        return StreamGapError(after=after, first=self._dropped + 1, last=self.last_number)

    def _take(self, after: int, wake: Wake) -> list[bytes] | None:
        """The events after `after`, [] at the end, or None once `wake` is registered."""
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
        self._report_readers()

    def _report_readers(self) -> None:
        report = self._on_readers
        if report is not None:
            report()


class EventReader:
    """One reader's position in a log; for one thread at a time. Close it when done.

    Args:
        log: what it reads.
        after: the number of the event after which it begins; None for new events only.

    Attributes:
        number: of the last event taken.

    Raises:
        StreamGapError: those events were dropped, or never existed.
    """

    def __init__(self, log: EventLog, after: int | None = 0) -> None:
        self._log = log
        self._wake: Wake | None = None
        self._closed = False
        self.number = log._enter(after)  # noqa: SLF001 - the two are one mechanism

    @property
    def has_ended(self) -> bool:
        """Whether the last event has been taken and there will be no more."""
        # In this order: a finished log does not grow.
        return self._log.is_finished and self.number == self._log.last_number

    def poll(self, wake: Wake) -> list[bytes] | None:
        """All events since the last call; [] at the end; None if there is nothing yet.

        After None, `wake` is called once, from the writer's thread, when there is something. It
        must not block.

        Raises:
            StreamGapError: the reader was so slow that its next events are gone.
        """
        events = self._log._take(self.number, wake)  # noqa: SLF001
        if events is None:
            self._wake = wake
        else:
            self.number += len(events)
        return events

    def drain(self, timeout_s: float | None = None) -> list[bytes]:
        """Block until there are new events, and take them all; [] at the end.

        Raises:
            TimeoutError: there was none within `timeout_s` seconds.
            StreamGapError: as `poll`.
        """
        # One lock for each wait: a late wake-up finds a lock that nobody waits for.
        ready = threading.Lock()
        ready.acquire()
        while (events := self.poll(ready.release)) is None:
            if not ready.acquire(timeout=-1 if timeout_s is None else timeout_s):
                self._forget_wake()
                raise TimeoutError(f"No event within {timeout_s:g} s.")
        return events

    def close(self) -> None:
        """Leave. Idempotent."""
        if not self._closed:
            self._closed = True
            self._forget_wake()
            self._log._leave()  # noqa: SLF001

    def _forget_wake(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            self._log._forget(wake)  # noqa: SLF001
