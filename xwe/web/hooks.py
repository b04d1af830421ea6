"""The checks that every request passes before its view is called."""

from http import HTTPStatus
from urllib.parse import urlencode

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from xwe.errors import DrainingError
from xwe.web.access import LOGIN_NEEDED, SAFE_METHODS, AccessRefusal
from xwe.web.application import Application
from xwe.web.errors import error_response
from xwe.web.identity import current_user, stream_owner

# About as long as a restart takes.
DRAIN_RETRY_AFTER_S = 5.0


def init_app(app: Application) -> None:
    """Register the checks."""
    app.before_request(lambda: _refusal(app))


def _refusal(app: Application) -> AnyResponse | None:
    endpoint = request.endpoint
    is_protected = endpoint in app.protected_endpoints
    if is_protected or request.method not in SAFE_METHODS:
        refusal = app.access_rules.refusal(
            request.environ, calls_model=is_protected, is_signed_in=_is_signed_in
        )
        if refusal is not None:
            return refusal_response(refusal)
    if endpoint in app.login_endpoints and not _is_signed_in():
        return _sign_in_first()
    if endpoint in app.model_endpoints:
        if app.is_draining:
            raise DrainingError(retry_after_s=DRAIN_RETRY_AFTER_S)
        app.services.limits.take_request(stream_owner())
    return None


def _is_signed_in() -> bool:
    return current_user() is not None


def _sign_in_first() -> AnyResponse:
    # Programs send "*/*". A browser that opens a page asks for HTML by name.
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        wanted = urlencode({"next": request.full_path.removesuffix("?")})
        return redirect(f"{url_for('accounts.sign_in_page')}?{wanted}", HTTPStatus.SEE_OTHER)
    return refusal_response(LOGIN_NEEDED)


def refusal_response(refusal: AccessRefusal) -> Response:
    """The refusal as an HTTP response."""
    response = error_response(refusal.status, refusal.code, refusal.message)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="xwe"'
    return response
