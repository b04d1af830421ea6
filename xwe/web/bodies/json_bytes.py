"""Request bodies in, response bodies out: JSON as UTF-8 bytes, through orjson both ways."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

import orjson
from flask import Response
from werkzeug.exceptions import RequestEntityTooLarge

from xwe.errors import InvalidRequestError

JSON = "application/json"


def read_body(environ: WSGIEnvironment, max_bytes: int) -> bytes:
    """The whole request body.

    Raises:
        RequestEntityTooLarge: it is longer than `max_bytes`, as announced or as read.
        InvalidRequestError: it ended early, or its framing is broken.
    """
    announced = environ.get("CONTENT_LENGTH") or ""
    length = int(announced) if announced.isdecimal() else None
    if length is not None and length > max_bytes:
        raise RequestEntityTooLarge
    if length is None and not environ.get("wsgi.input_terminated"):
        return b""  # without an end mark, reading would block
    try:
        body: bytes = environ["wsgi.input"].read(max_bytes + 1 if length is None else length)
    except Exception as error:
        # Every server has its own exceptions for this, and all of them are caused by the client.
        raise InvalidRequestError("The body could not be read to its end.") from error
    if len(body) > max_bytes:
        raise RequestEntityTooLarge
    if length is not None and len(body) < length:
        raise InvalidRequestError("The body is shorter than its Content-Length.")
    return body


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        InvalidRequestError: it is not JSON, not UTF-8, nested too deeply or not an object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return value


def parse_query(environ: WSGIEnvironment) -> dict[str, str]:
    """The fields of the query string as strict UTF-8; the first value of each name counts.

    Raises:
        InvalidRequestError: the query is not UTF-8.
    """
    try:
        # WSGI decodes bytes as latin-1; a client that did not escape them meant UTF-8.
        query = environ.get("QUERY_STRING", "").encode("latin-1").decode("utf-8")
        fields = parse_qs(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidRequestError("The query is not valid UTF-8.") from None
    return {name: values[0] for name, values in fields.items()}


def json_response(
    payload: Any,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`payload` as a JSON response, with non-ASCII text unescaped."""
    try:
        body = orjson.dumps(payload)
    except TypeError:
        # A lone surrogate in a provider's text: JSON can escape it, UTF-8 cannot encode it.
        body = json.dumps(payload).encode()
    return Response(body, status, headers, content_type=JSON)
