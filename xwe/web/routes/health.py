"""Health checks: is this process alive, and should it get work? None of them calls the model."""

from http import HTTPStatus

from flask import Blueprint, Response

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.llm_client import LLMClient
from xwe.errors import DatabaseUnavailableError
from xwe.storage.database import Database
from xwe.web.application import current_application
from xwe.web.bodies.json_bytes import json_response

blueprint = Blueprint("health", __name__, url_prefix="/health")

# A loop this late cannot answer in time. The watchdog has logged by now what blocks it.
BLOCKED_AFTER_S = 2.0
_NO_STORE = {"Cache-Control": "no-store"}


@blueprint.get("")
def health() -> Response:
    """The simple form for older monitors: the process answers."""
    return json_response({"status": "ok"}, headers=_NO_STORE)


@blueprint.get("/live")
def live() -> Response:
    """200 as long as the process answers; if it does not, a restart is the cure."""
    return json_response({"status": "live"}, headers=_NO_STORE)


@blueprint.get("/ready")
def ready() -> Response:
    """200 while it accepts new work, else 503 with the reasons."""
    reasons = _reasons_against()
    if not reasons:
        return json_response({"status": "ready"}, headers=_NO_STORE)
    body = {"status": "not_ready", "reasons": reasons}
    headers = {**_NO_STORE, "Retry-After": "1"}
    return json_response(body, HTTPStatus.SERVICE_UNAVAILABLE, headers)


def _reasons_against() -> list[str]:
    app = current_application()
    found = {
        "draining": app.is_draining,
        "loop_blocked": get_loop_thread().lag_s > BLOCKED_AFTER_S,
        "queue_full": _is_queue_full(app.services.client),
        "database_unavailable": _is_unavailable(app.services.database),
    }
    return [reason for reason, holds in found.items() if holds]


def _is_unavailable(database: Database) -> bool:
    try:
        database.ping()
    except DatabaseUnavailableError:
        return True
    return False


def _is_queue_full(client: LLMClient) -> bool:
    stats = client.stats()
    slots, pool = stats["admission"], stats["executor"]
    on_loop = slots is not None and (
        slots["running"] >= slots["max_running"] and slots["waiting"] >= slots["max_waiting"]
    )
    in_threads = pool is not None and (
        pool["running"] >= pool["max_workers"] and pool["waiting"] >= pool["queue_size"]
    )
    return on_loop or in_threads
