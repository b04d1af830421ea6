"""Slots for those who read answers: a bound for all together, and a share for each user."""

import threading
from collections import Counter

from xwe.core.concurrency.admission import Admission, AdmissionStats
from xwe.errors import LimitExceededError
from xwe.streams.answers import NOBODY

# As many as a browser has tabs. A slot is an open answer, a watched task or a WebSocket.
READERS_EACH = 32

# Nobody knows which of a user's readers leaves next.
OWN_RETRY_AFTER_S = 5.0


class ReaderSlot:
    """One reader's slot."""

    def __init__(self, slots: "ReaderSlots", owner: str) -> None:
        self._slots: ReaderSlots | None = slots
        self._owner = owner

    def leave(self) -> None:
        """Give it back. Idempotent; from any thread, one at a time."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.take_back(self._owner)


class ReaderSlots:
    """The slots of this process. Thread-safe.

    Args:
        all_together: the number of them.
        each: how many of them one user may have. Those who are not signed in have no share of
            their own: they are one owner, and would keep each other out.
    """

    def __init__(self, all_together: int, each: int = READERS_EACH) -> None:
        self._admission = Admission(all_together, 0, name="open streams")
        self._each = each
        self._guard = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, owner: str) -> ReaderSlot:
        """A slot for a reader of the owner's, as `stream_owner()` names them.

        Raises:
            LimitExceededError: the user has reached the limit.
            SaturatedError: none is free.
        """
        self._count(owner)
        try:
            self._admission.enter_blocking(0)
        except BaseException:
            self._uncount(owner)
            raise
        return ReaderSlot(self, owner)

    def take_back(self, owner: str) -> None:
        """Have a slot of the owner's back; for `ReaderSlot.leave`."""
        # In this order, so that who hears of the free slot has a share again.
        self._uncount(owner)
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
                    f"You have {taken} open streams, which is the limit: close one.",
                    retry_after_s=OWN_RETRY_AFTER_S,
                )
            self._taken[owner] = taken + 1

    def _uncount(self, owner: str) -> None:
        if owner == NOBODY:
            return
        with self._guard:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
