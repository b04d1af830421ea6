"""Reports every request to the observation: its route, method, status and duration.

This is the outermost WSGI middleware, so that it also sees how long a stream holds a thread.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from xwe.observability.observation import Observation

# A method that a client makes up must not become a label.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
NO_ROUTE = "(none)"


class ObservedRequests:
    """Wraps a WSGI application."""

    def __init__(self, application: WSGIApplication, observation: Observation) -> None:
        self._application = application
        self._observation = observation

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        observation = self._observation
        began = time.perf_counter()
        observation.request_began()

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            method = environ["REQUEST_METHOD"]
            observation.observe_request(
                _route_of(environ),
                method if method in METHODS else OTHER_METHOD,
                f"{status[0]}xx",
                time.perf_counter() - began,
            )
            return start_response(status, headers, *exc_info)

        try:
            body = self._application(environ, start)
        except BaseException:
            observation.request_ended()
            raise
        return _Body(body, observation.request_ended)


class _Body:
    """A response body that reports when the server is done with it."""

    def __init__(self, body: Iterable[bytes], on_close: Callable[[], None]) -> None:
        self._body = body
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the body, as servers do after the last piece or when the client disconnects."""
        on_close, self._on_close = self._on_close, _nothing
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            on_close()


def _nothing() -> None:
    """For a body that has been closed already."""


def _route_of(environ: WSGIEnvironment) -> str:
    """The route's template, as "/api/tasks/<id>"; Werkzeug leaves its request in the environ."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return rule.rule if rule is not None else NO_ROUTE
