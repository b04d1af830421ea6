"""Around every request: its id, its start, and the headers that protect a browser.

A WSGI middleware rather than hooks of the framework: nothing that goes wrong inside can leave
them out, and they cost a few microseconds instead of fifty.
"""

import re
import secrets
import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from xwe.core.nlp.observation import request_id, user_id

STARTED_AT = "xwe.started_at"
NOBODY = "-"

# An id goes into log lines and headers as it came, so it may be nothing but a plain word.
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_PROTECTION = [
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    # Not "no-referrer": where a browser sends no Sec-Fetch-Site, a GET is known by its Referer.
    ("Referrer-Policy", "same-origin"),
]


class RequestIdMiddleware:
    """Wraps a WSGI application.

    A sane X-Request-ID is taken over, any other replaced; the id is in the log lines, the response
    and the context variable `request_id`.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        environ[STARTED_AT] = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        identity = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        request_id.set(identity)
        user_id.set(NOBODY)  # a thread keeps its context, and with it the user it worked for before

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            headers += _PROTECTION
            headers.append(("X-Request-ID", identity))
            return start_response(status, headers, *exc_info)

        return self._application(environ, start)


def elapsed_s(environ: WSGIEnvironment) -> float:
    """How long the request has been here, in seconds."""
    return time.perf_counter() - float(environ[STARTED_AT])
