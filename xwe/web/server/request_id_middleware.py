"""Gives every request an id and a start time, and every response headers that protect a browser.

This is WSGI middleware rather than Flask hooks. No error inside can leave the headers out, and
they cost a few microseconds instead of fifty.
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

# A client's id goes into log lines and headers unchanged, so only a plain word is accepted.
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_PROTECTION = [
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    # Not "no-referrer": without Sec-Fetch-Site, the Referer tells where a GET comes from.
    ("Referrer-Policy", "same-origin"),
]


class RequestIdMiddleware:
    """Wraps a WSGI application.

    A well-formed X-Request-ID is used as it is, anything else is replaced. The id appears in log
    lines, in the response and in the context variable `request_id`.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        environ[STARTED_AT] = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        identity = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        request_id.set(identity)
        user_id.set(NOBODY)  # the thread still has the context of its previous request

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            headers += _PROTECTION
            headers.append(("X-Request-ID", identity))
            return start_response(status, headers, *exc_info)

        return self._application(environ, start)


def elapsed_s(environ: WSGIEnvironment) -> float:
    """Seconds since the request arrived."""
    return time.perf_counter() - float(environ[STARTED_AT])
