"""For those who run the server: Prometheus metrics, and the figures of the system page.

Neither is public: who may call the model may read them. A client's address is no reason to let it
in, since behind a proxy everybody's is the proxy's. They are answered during the drain, too,
which is when somebody watches.
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
    from xwe.observability.exposition import expose  # noqa: PLC0415 - memory that only a scrape needs

    workers, exited = app.services.observation.all_workers()
    page = expose(workers, exited, request.headers.get("Accept", ""))
    return Response(page.body, headers=_NO_STORE, content_type=page.content_type)


@blueprint.get("/api/llm/status")
@protected
def status() -> Response:
    """How the server is doing, and how it has been for the last minutes."""
    app = current_application()
    workers, _ = app.services.observation.all_workers()
    return json_response(status_of(workers, _limits(app.settings), time.time()), headers=_NO_STORE)


def _limits(settings: Settings) -> dict[str, Any]:
    """What each worker may take on; durations in seconds."""
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
