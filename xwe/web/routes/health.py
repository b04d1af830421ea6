"""Whether this process is alive, and whether it should get work. None of this asks the model."""

from http import HTTPStatus

from flask import Blueprint, Response

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.core.nlp.llm_client import LLMClient
from xwe.errors import DatabaseUnavailableError
from xwe.storage.database import Database
from xwe.web.application import current_application
from xwe.web.bodies.json_bytes import json_response

blueprint = Blueprint("health", __name__, url_prefix="/health")

# A loop that is this late answers nobody in time; the watchdog has logged what keeps it by then.
BLOCKED_AFTER_S = 2.0
_NO_STORE = {"Cache-Control": "no-store"}


@blueprint.get("")
def health() -> Response:
    """The simple form that older monitors ask for: the process answers."""
    return json_response({"status": "ok"}, headers=_NO_STORE)


@blueprint.get("/live")
def live() -> Response:
    """200 as long as the process answers at all; a restart is the cure for anything else."""
    return json_response({"status": "live"}, headers=_NO_STORE)


@blueprint.get("/ready")
def ready() -> Response:
    """200 while new work is welcome, else 503 with the reasons."""
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
        "database_unavailable": _is_away(app.services.database),
    }
    return [reason for reason, holds in found.items() if holds]


def _is_away(database: Database) -> bool:
    try:
        database.ping()
    except DatabaseUnavailableError:
        return True
    return False


def _is_queue_full(client: LLMClient) -> bool:
    stats = client.stats()
    places, pool = stats["admission"], stats["executor"]
    on_loop = places is not None and (
        places["running"] >= places["max_running"] and places["waiting"] >= places["max_waiting"]
    )
    in_threads = pool is not None and (
        pool["running"] >= pool["max_workers"] and pool["waiting"] >= pool["queue_size"]
    )
    return on_loop or in_threads
