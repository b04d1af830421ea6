"""What a model server remembers of the requests it got, for tests to look at."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class ReceivedRequest:
    """A request as the server saw it; its last two fields change while it is served.

    Attributes:
        path: as it was asked for, for instance "/v1/chat/completions".
        headers: case-insensitive.
        body: the decoded JSON, or the bytes where they are none.
        finished: the reply, or the fault in its place, was given to its end.
        disconnected: the client left before that.
    """

    path: str
    headers: Mapping[str, str]
    body: Any
    finished: bool = False
    disconnected: bool = False


class RequestLog:
    """Collects the requests of one server, in the order of their arrival. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[ReceivedRequest] = []

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests so far; the list is the caller's, its entries stay live."""
        with self._changed:
            return list(self._requests)

    def arrived(self, request: ReceivedRequest) -> None:
        """Add a request."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def finished(self, request: ReceivedRequest) -> None:
        """Note that the request was served to its end."""
        with self._changed:
            request.finished = True
            self._changed.notify_all()

    def disconnected(self, request: ReceivedRequest) -> None:
        """Note that the client left first, be it with the last bytes still on their way."""
        with self._changed:
            request.finished, request.disconnected = False, True
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the requests so far."""
        with self._changed:
            self._requests.clear()
            self._changed.notify_all()

    def wait_until(self, predicate: Callable[[], object], timeout_s: float) -> None:
        """Block until `predicate()` is true; it is asked again after each change.

        Raises:
            TimeoutError: it was still false after `timeout_s` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout_s):
                raise TimeoutError(
                    f"Still not so after {timeout_s:g} s; the requests are {self._requests!r:.2000}"
                )
