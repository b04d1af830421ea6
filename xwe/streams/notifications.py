"""News for whoever listens, within this process: a job has ended, a message has come.

Nothing is kept for those who are away: they read the state when they come back.
"""

import threading
from collections import deque
from collections.abc import Callable

# A listener that takes nothing for so long that this many have gathered loses the oldest; whoever
# needs every one reads the state itself.
MAX_WAITING = 256


class Subscription:
    """What one listener has not taken yet; `take` from one thread.

    Args:
        wake: called from the publisher's thread when there is something to take; must not block.
    """

    def __init__(
        self, notifications: "Notifications", owner: str, wake: Callable[[], object]
    ) -> None:
        self._notifications = notifications
        self.owner = owner
        self.wake = wake
        self.waiting: deque[bytes] = deque(maxlen=MAX_WAITING)

    def take(self) -> list[bytes]:
        """Everything that has come since the last time."""
        taken = []
        while self.waiting:
            taken.append(self.waiting.popleft())
        return taken

    def close(self) -> None:
        """Listen no more. Idempotent."""
        self._notifications.forget(self)


class Notifications:
    """The listeners of this process. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._by_owner: dict[str, list[Subscription]] = {}

    def subscribe(self, owner: str, wake: Callable[[], object]) -> Subscription:
        """Hear what is published for `owner` from now on; the subscription must be closed."""
        subscription = Subscription(self, owner, wake)
        with self._guard:
            self._by_owner.setdefault(owner, []).append(subscription)
        return subscription

    def publish(self, owner: str, notification: bytes) -> int:
        """Tell all of `owner`'s listeners; how many there are.

        Args:
            owner: whose listeners.
            notification: a JSON object.
        """
        with self._guard:
            listeners = self._by_owner.get(owner, ())
            for listener in listeners:
                listener.waiting.append(notification)
            wakes = [listener.wake for listener in listeners]
        for wake in wakes:
            wake()
        return len(wakes)

    def forget(self, subscription: Subscription) -> None:
        """Drop a listener; one that is not known is no error."""
        with self._guard:
            listeners = self._by_owner.get(subscription.owner, [])
            if subscription in listeners:
                listeners.remove(subscription)
            if not listeners:
                self._by_owner.pop(subscription.owner, None)
