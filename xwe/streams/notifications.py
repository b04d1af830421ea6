"""Notifications to users within this process: a job has ended, a message has arrived.

Nothing is stored for absent listeners, who read the state when they return.
"""

import threading
from collections import deque
from collections.abc import Callable

# A slow listener loses its oldest notifications beyond this number. They are hints only: the state
# itself is read elsewhere.
MAX_WAITING = 256


class Subscription:
    """One listener's queue. `take` is for one thread at a time.

    Args:
        notifications: where it is subscribed.
        owner: the user whose notifications these are.
        wake: called in the publisher's thread when there is something to take; must not block.
    """

    def __init__(
        self, notifications: "Notifications", owner: str, wake: Callable[[], object]
    ) -> None:
        self._notifications = notifications
        self.owner = owner
        self.wake = wake
        self.waiting: deque[bytes] = deque(maxlen=MAX_WAITING)

    def take(self) -> list[bytes]:
        """The notifications since the last call."""
        taken = []
        while self.waiting:
            taken.append(self.waiting.popleft())
        return taken

    def close(self) -> None:
        """Unsubscribe. Idempotent."""
        self._notifications.forget(self)


class Notifications:
    """The listeners of this process. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._by_owner: dict[str, list[Subscription]] = {}

    def subscribe(self, owner: str, wake: Callable[[], object]) -> Subscription:
        """Receive what is published for `owner` from now on. Close the subscription after use."""
        subscription = Subscription(self, owner, wake)
        with self._guard:
            self._by_owner.setdefault(owner, []).append(subscription)
        return subscription

    def publish(self, owner: str, notification: bytes) -> int:
        """Notify all listeners of a user.

        Args:
            owner: the user.
            notification: a JSON object.

        Returns:
            the number of listeners.
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
        """Remove a listener; an unknown one is ignored."""
        with self._guard:
            listeners = self._by_owner.get(subscription.owner, [])
            if subscription in listeners:
                listeners.remove(subscription)
            if not listeners:
                self._by_owner.pop(subscription.owner, None)
