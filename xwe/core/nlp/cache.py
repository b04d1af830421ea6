"""Answers kept for the same question, and one call for callers who ask it at the same time.

Only what is asked at temperature 0 is kept: above it, asking again is the point.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from xwe.core.nlp.completion import Completion, CompletionRequest
from xwe.core.nlp.wire import build_payload


def cache_key(request: CompletionRequest) -> bytes | None:
    """What makes two requests the same question, or None when its answer must not be kept."""
    if request.temperature != 0:
        return None
    return hashlib.sha256(build_payload(request, stream=False)).digest()


class AnswerCache:
    """Answers in memory, the least recently used dropped first. Thread-safe.

    Args:
        ttl_s: how long an answer is kept, in seconds.
        max_entries: how many are kept.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        ttl_s: float,
        max_entries: int = 1000,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._clock = clock
        self._guard = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[float, Completion]] = OrderedDict()
        self._flights: dict[bytes, Future[Completion]] = {}

    def lookup(self, key: bytes) -> Completion | None:
        """The kept answer, if it is still fresh."""
        with self._guard:
            entry = self._entries.get(key)
            if entry is None:
                return None
            expires_at, completion = entry
            if expires_at <= self._clock():
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return completion

    def join(self, key: bytes) -> tuple[Future[Completion], bool]:
        """The future answer, and whether it is the caller's task to get it.

        The one whose task it is must call `settle`, whatever happens.
        """
        with self._guard:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Future()
            return flight, True

    def settle(
        self, key: bytes, completion: Completion | None, error: BaseException | None
    ) -> None:
        """Keep the answer and hand it, or the error, to those who wait for it.

        With neither (the asker was cancelled) the others are told to ask for themselves.
        """
        with self._guard:
            flight = self._flights.pop(key)
            if completion is not None:
                self._entries[key] = (self._clock() + self._ttl_s, completion)
                self._entries.move_to_end(key)
                if len(self._entries) > self._max_entries:
                    self._entries.popitem(last=False)
        if completion is not None:
            flight.set_result(completion)
        elif error is not None:
            flight.set_exception(error)
        else:
            flight.cancel()
