"""What every request has to pass before its view is called."""

from http import HTTPStatus

from flask import Response, request

from xwe.errors import DrainingError
from xwe.web.access import SAFE_METHODS, Refusal
from xwe.web.application import Application
from xwe.web.envelope import Envelope
from xwe.web.errors import error_response

# Where another server process will be ready to take over; a restart takes about so long.
DRAIN_RETRY_AFTER_S = 5.0


def init_app(app: Application) -> None:
    """Register the access rules, and the envelope around everything."""
    app.before_request(lambda: _refusal(app))
    app.wsgi_app = Envelope(app.wsgi_app)  # type: ignore[method-assign] # as Flask's documentation has it


def _refusal(app: Application) -> Response | None:
    is_protected = request.endpoint in app.protected_endpoints
    if is_protected or request.method not in SAFE_METHODS:
        refusal = app.access_rules.refusal(request.environ, calls_model=is_protected)
        if refusal is not None:
            return refusal_response(refusal)
    if request.endpoint in app.model_endpoints and app.is_draining:
        raise DrainingError(retry_after_s=DRAIN_RETRY_AFTER_S)
    return None


def refusal_response(refusal: Refusal) -> Response:
    """The refusal as HTTP."""
    response = error_response(refusal.status, refusal.code, refusal.message)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="xwe"'
    return response
