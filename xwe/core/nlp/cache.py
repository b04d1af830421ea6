"""A cache of answers, and one call for all who ask the same question at the same time.

Only answers at temperature 0 are cached: above it, asking again is the point.
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
    """The key under which a request's answer is cached; None if it must not be."""
    if request.temperature != 0:
        return None
    return hashlib.sha256(build_payload(request, stream=False)).digest()


class AnswerCache:
    """Answers in memory; the least recently used is dropped first. Thread-safe.

    Args:
        ttl_s: how long an answer is cached, in seconds.
        max_entries: the most answers.
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
        """The cached answer, if it is still fresh."""
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
        """The future answer, and whether it is up to the caller to get it.

        That caller must call `settle`, whatever happens.
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
        """Cache the answer, and pass it or the error to all who wait.

        With neither (the caller was cancelled) the others have to ask for themselves.
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
