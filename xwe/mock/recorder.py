"""The log of requests that a model server received, for tests."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class ReceivedRequest:
    """A request as the server received it; the last two fields change while it is served.

    Attributes:
        path: the request's path, for instance "/v1/chat/completions".
        headers: case-insensitive.
        body: the decoded JSON, or the raw bytes if they are not JSON.
        finished: the reply, or the fault in its place, was sent to its end.
        disconnected: the client left before that.
    """

    path: str
    headers: Mapping[str, str]
    body: Any
    finished: bool = False
    disconnected: bool = False


class RequestLog:
    """The requests of one server, in order of arrival. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[ReceivedRequest] = []

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests so far; the list is a copy, its entries are live."""
        with self._changed:
            return list(self._requests)

    def arrived(self, request: ReceivedRequest) -> None:
        """Add a request."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def finished(self, request: ReceivedRequest) -> None:
        """Mark the request as served to its end."""
        with self._changed:
            request.finished = True
            self._changed.notify_all()

    def disconnected(self, request: ReceivedRequest) -> None:
        """Mark that the client left first, even with the last bytes already on their way."""
        with self._changed:
            request.finished, request.disconnected = False, True
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the requests so far."""
        with self._changed:
            self._requests.clear()
            self._changed.notify_all()

    def wait_until(self, predicate: Callable[[], object], timeout_s: float) -> None:
        """Block until `predicate()` is true; it is checked after each change.

        Raises:
            TimeoutError: it was still false after `timeout_s` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout_s):
                raise TimeoutError(
                    f"Still not so after {timeout_s:g} s; the requests are {self._requests!r:.2000}"
                )
