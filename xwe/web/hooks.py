"""What happens around every request: an id, the access rules, the headers that protect a browser.

One function before and one after, and both cheap: they are part of every request's cost.
"""

import re
import secrets
import time
from http import HTTPStatus

from flask import Response, request

from xwe.core.nlp.observation import request_id
from xwe.errors import DrainingError
from xwe.web.access import SAFE_METHODS, Refusal
from xwe.web.application import Application, current_application
from xwe.web.errors import error_response

# An id goes into log lines and headers as it came, so it may be nothing but a plain word.
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Where another server process will be ready to take over; a restart takes about so long.
DRAIN_RETRY_AFTER_S = 5.0

STARTED_AT = "xwe.started_at"

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": where a browser sends no Sec-Fetch-Site, a GET is known by its Referer.
    "Referrer-Policy": "same-origin",
}


def init_app(app: Application) -> None:
    """Register the two hooks."""
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> Response | None:
    environ = request.environ
    environ[STARTED_AT] = time.perf_counter()
    given = environ.get("HTTP_X_REQUEST_ID", "")
    request_id.set(given if _SANE_ID.fullmatch(given) else secrets.token_hex(8))

    app = current_application()
    calls_model = request.endpoint in app.model_endpoints
    if calls_model or environ["REQUEST_METHOD"] not in SAFE_METHODS:
        refusal = app.access_rules.refusal(environ, calls_model=calls_model)
        if refusal is not None:
            return _refuse(refusal)
    if calls_model and app.is_draining:
        raise DrainingError(retry_after_s=DRAIN_RETRY_AFTER_S)
    return None


def _refuse(refusal: Refusal) -> Response:
    response = error_response(refusal.status, refusal.code, refusal.message)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="xwe"'
    return response


def _finish(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-ID"] = request_id.get()
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    return response
