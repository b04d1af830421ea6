"""For operators: Prometheus metrics and the figures of the system page.

Neither is public: callers who may call the model may read them. A client's address is no reason to
let it in, because behind a proxy all clients have the proxy's. They stay available during the
drain, which is when operators watch.
"""

import time
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request

from xwe.observability.status import status_of
from xwe.settings import Settings
from xwe.web.application import current_application, protected
from xwe.web.bodies.json_bytes import json_response
from xwe.web.errors import error_response

blueprint = Blueprint("operations", __name__)

_NO_STORE = {"Cache-Control": "no-store"}


@blueprint.get("/metrics")
@protected
def metrics() -> Response:
    """The figures of all workers for Prometheus; 404 with ENABLE_PROMETHEUS=false."""
    app = current_application()
    if not app.settings.observation.prometheus:
        return error_response(HTTPStatus.NOT_FOUND, "not_found", "ENABLE_PROMETHEUS is false.")
    from xwe.observability.exposition import expose  # noqa: PLC0415 - takes memory, which only scrapes need

    workers, exited = app.services.observation.all_workers()
    page = expose(workers, exited, request.headers.get("Accept", ""))
    return Response(page.body, headers=_NO_STORE, content_type=page.content_type)


@blueprint.get("/api/llm/status")
@protected
def status() -> Response:
    """The state of the server now and over the last minutes."""
    app = current_application()
    workers, _ = app.services.observation.all_workers()
    return json_response(status_of(workers, _limits(app.settings), time.time()), headers=_NO_STORE)


def _limits(settings: Settings) -> dict[str, Any]:
    """The limits of each worker; durations in seconds."""
    llm = settings.llm
    return {
        "transport": llm.transport,
        "threads": settings.server.threads,
        "in_flight": llm.async_workers if llm.transport == "requests" else llm.max_inflight,
        "waiting": llm.queue_size,
        "pool_threads": llm.async_workers,
        "attempts": llm.max_retries,
        "requests_per_minute": llm.rpm,
        "tokens_per_minute": llm.tpm,
        "call_s": llm.timeout_s,
        "stream_s": llm.stream_timeout_s,
        "first_token_s": llm.first_token_timeout_s,
        "idle_s": llm.idle_timeout_s,
    }
