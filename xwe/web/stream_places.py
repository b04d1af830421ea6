"""Places for those who read live answers: a bound for all together, and a share for each user."""

import threading
from collections import Counter

from xwe.core.concurrency.admission import Admission, AdmissionStats
from xwe.errors import LimitExceededError
from xwe.streams.live_streams import NOBODY

# As many as a browser has tabs. A place is an open answer, a watched task or a WebSocket.
READERS_EACH = 32

# Which of a user's readers leaves next is not known.
OWN_RETRY_AFTER_S = 5.0


class Place:
    """One reader's; `leave` gives it back, once."""

    def __init__(self, places: "StreamPlaces", owner: str) -> None:
        self._places = places
        self._owner = owner

    def leave(self) -> None:
        """Give it back. From any thread."""
        self._places.take_back(self._owner)


class StreamPlaces:
    """The places of this process. Thread-safe.

    Args:
        all_together: how many there are.
        each: how many of them one user may have. Those who are not signed in have no share of
            their own: they are one owner, and would keep each other out.
    """

    def __init__(self, all_together: int, each: int = READERS_EACH) -> None:
        self._admission = Admission(all_together, 0, name="open streams")
        self._each = each
        self._guard = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, owner: str) -> Place:
        """A place for a reader; `owner` is `stream_owner()`'s word.

        Raises:
            LimitExceededError: the user has as many as may.
            SaturatedError: none is free.
        """
        self._count(owner)
        try:
            self._admission.enter_blocking(0)
        except BaseException:
            self._forget(owner)
            raise
        return Place(self, owner)

    def take_back(self, owner: str) -> None:
        """Have a place of the owner's back; for `Place.leave`."""
        # In this order, so that who hears of the freed place has a share again.
        self._forget(owner)
        self._admission.leave()

    def stats(self) -> AdmissionStats:
        """How many are taken, of how many."""
        return self._admission.stats()

    def _count(self, owner: str) -> None:
        if owner == NOBODY:
            return
        with self._guard:
            taken = self._taken[owner]
            if taken >= self._each:
                raise LimitExceededError(
                    f"{taken} connections read for you, which is as many as may: close one.",
                    retry_after_s=OWN_RETRY_AFTER_S,
                )
            self._taken[owner] = taken + 1

    def _forget(self, owner: str) -> None:
        if owner == NOBODY:
            return
        with self._guard:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
