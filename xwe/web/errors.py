"""Errors as HTTP: one table from the error tree to statuses, and one shape of body.

::

    {"error": {"code": "saturated", "message": "…", "retryable": true}}

A browser that opens a page gets a small HTML page instead, which needs nothing that may be broken.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from xwe import errors
from xwe.core.nlp.observation import request_id
from xwe.errors import XweError
from xwe.web.bodies.json_bytes import json_response
from xwe.web.pages.rendering import render_page
from xwe.web.streaming.client_disconnect import ClientDisconnectedError

log = logging.getLogger(__name__)

STATUS_BY_ERROR: Mapping[type[XweError], HTTPStatus] = MappingProxyType(
    {
        errors.XweError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.SettingsError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.MissingExtraError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.LoopDeadlockError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.InvalidRequestError: HTTPStatus.BAD_REQUEST,
        errors.SaturatedError: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.DrainingError: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.ClosedError: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.DeadlineExceededError: HTTPStatus.GATEWAY_TIMEOUT,
        errors.UnknownStreamError: HTTPStatus.NOT_FOUND,
        errors.StreamGapError: HTTPStatus.NOT_FOUND,
        errors.ToolArgumentsError: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.NotFoundError: HTTPStatus.NOT_FOUND,
        errors.UnauthorizedError: HTTPStatus.UNAUTHORIZED,
        errors.WrongPasswordError: HTTPStatus.UNAUTHORIZED,
        errors.SignupClosedError: HTTPStatus.FORBIDDEN,
        errors.LimitExceededError: HTTPStatus.TOO_MANY_REQUESTS,
        errors.ConflictError: HTTPStatus.CONFLICT,
        errors.UsernameTakenError: HTTPStatus.CONFLICT,
        errors.NameTakenError: HTTPStatus.CONFLICT,
        # Not 429: coming back later does not help.
        errors.CharacterLimitError: HTTPStatus.CONFLICT,
        errors.TokenLimitError: HTTPStatus.CONFLICT,
        errors.StaleVersionError: HTTPStatus.CONFLICT,
        errors.GenerationRunningError: HTTPStatus.CONFLICT,
        errors.JobCancelledError: HTTPStatus.CONFLICT,
        errors.JobLostError: HTTPStatus.CONFLICT,
        errors.AnswerLostError: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.IdempotencyClashError: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.SourceUnavailableError: HTTPStatus.BAD_GATEWAY,
        errors.SourceNotFoundError: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.ProviderError: HTTPStatus.BAD_GATEWAY,
        errors.ProviderUnreachableError: HTTPStatus.BAD_GATEWAY,
        errors.ProviderTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
        errors.ProviderStatusError: HTTPStatus.BAD_GATEWAY,
        errors.ProviderRejectedError: HTTPStatus.BAD_GATEWAY,
        errors.ProviderAuthError: HTTPStatus.BAD_GATEWAY,
        # 429 would mean a limit of ours on this user.
        errors.ProviderRateLimitedError: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.ProviderBadReplyError: HTTPStatus.BAD_GATEWAY,
        errors.StructuredReplyError: HTTPStatus.BAD_GATEWAY,
        errors.StreamInterruptedError: HTTPStatus.BAD_GATEWAY,
        errors.CircuitOpenError: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)

# A 503 always says when to try again. Where the error does not know, soon is a fair guess.
DEFAULT_RETRY_AFTER_S = 1.0

# nginx's status for it; there is no registered one.
CLIENT_CLOSED_REQUEST = 499

# The codes of Werkzeug's own errors.
_CODE_BY_STATUS: Mapping[int, str] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: "invalid_request",
        HTTPStatus.UNAUTHORIZED: "unauthorized",
        HTTPStatus.FORBIDDEN: "forbidden",
        HTTPStatus.NOT_FOUND: "not_found",
        HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    }
)


def status_of(error: XweError) -> HTTPStatus:
    """The row of the error's class, or of its nearest ancestor that has one."""
    return next(STATUS_BY_ERROR[cls] for cls in type(error).__mro__ if cls in STATUS_BY_ERROR)


def report(error: Exception) -> dict[str, Any]:
    """The error for a client: `{"code", "message", "retryable"}`.

    An internal error (500) is logged. The client gets the request id to find it by.
    """
    if isinstance(error, XweError) and status_of(error) != HTTPStatus.INTERNAL_SERVER_ERROR:
        return _described(error.code, error.message, retryable=error.retryable)
    log.error("Request %s failed", request_id.get(), exc_info=error)
    code = error.code if isinstance(error, XweError) else XweError.code
    message = f"Something went wrong on this side; its log knows it as {request_id.get()}."
    return _described(code, message)


def _described(code: str, message: str, *, retryable: bool = False) -> dict[str, Any]:
    return {"code": code, "message": message, "retryable": retryable}


def error_response(status: int, code: str, message: str) -> Response:
    """An error response without an exception."""
    return json_response({"error": _described(code, message)}, status)


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(XweError, _on_known)
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(ClientDisconnectedError, _on_disconnect)
    app.register_error_handler(Exception, _on_unknown)


def _on_known(error: XweError) -> Response:
    status = status_of(error)
    response = _error_reply(status, report(error))
    wait_s = error.retry_after_s
    if wait_s is None and status == HTTPStatus.SERVICE_UNAVAILABLE:
        wait_s = DEFAULT_RETRY_AFTER_S
    if wait_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return response


def _on_disconnect(_: ClientDisconnectedError) -> Response:
    return Response(status=CLIENT_CLOSED_REQUEST)  # for the access log; nobody receives it


def _on_unknown(error: Exception) -> Response:
    return _error_reply(HTTPStatus.INTERNAL_SERVER_ERROR, report(error))


def _on_http(error: HTTPException) -> Response | HTTPException:
    if error.response is not None or error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error  # a redirect, or a response that is complete already
    status = HTTPStatus(error.code)
    code = _CODE_BY_STATUS.get(status, status.phrase.lower().replace(" ", "_"))
    response = _error_reply(status, _described(code, error.description or status.phrase))
    for name, value in error.get_headers():
        if name != "Content-Type":  # Allow, Retry-After: they belong to the status
            response.headers[name] = value
    return response


def _error_reply(status: HTTPStatus, described: Mapping[str, Any]) -> Response:
    """The error as a page for a browser that opens one, else as JSON."""
    # Programs send "*/*". A browser that opens a page asks for HTML by name.
    if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", ""):
        return json_response({"error": described}, status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        g.setdefault("identity", None)  # the database may be what is broken
    return render_page("error.html", status, code=int(status), request_id=request_id.get())
