"""Tasks: the background jobs of the signed-in user, to read, watch, cancel and retry."""

from functools import partial

from flask import Blueprint, Response, request

from xwe.errors import NotFoundError
from xwe.services.tasks import Tasks
from xwe.web.application import calls_model, current_application
from xwe.web.bodies import fields
from xwe.web.bodies.json_bytes import json_response, parse_query
from xwe.web.identity import login_required, require_user
from xwe.web.streaming.responses import event_stream

blueprint = Blueprint("tasks", __name__)

MAX_LISTED = 200
_LISTED = 50
_LARGEST_ID = 2**63 - 1


@blueprint.get("/api/tasks")
@login_required
def listed() -> Response:
    """The user's tasks, newest first; `before_id` asks for older ones."""
    query = parse_query(request.environ)
    items = _tasks().listed(
        require_user().id,
        before_id=fields.query_number(query, "before_id", 1, _LARGEST_ID),
        limit=fields.query_number(query, "limit", 1, MAX_LISTED) or _LISTED,
    )
    return json_response({"items": items})


@blueprint.get("/api/tasks/<task_id>")
@login_required
def get(task_id: str) -> Response:
    """The current state of a task."""
    return json_response(_tasks().get(require_user().id, _id(task_id)))


@blueprint.get("/api/tasks/<task_id>/events")
@login_required
def events(task_id: str) -> Response:
    """The states of a task as server-sent events: the current one, then each change to the end."""
    watch = partial(_tasks().watch, require_user().id, _id(task_id))
    return event_stream(watch)


@blueprint.post("/api/tasks/<task_id>/cancel")
@login_required
def cancel(task_id: str) -> Response:
    """Cancel a task; a finished one stays as it is."""
    _tasks().cancel(require_user().id, _id(task_id))
    return json_response({"ok": True})


@blueprint.post("/api/tasks/<task_id>/retry")
@login_required
@calls_model
def retry(task_id: str) -> Response:
    """Retry a failed or cancelled task; what it has stored stays."""
    _tasks().retry(require_user().id, _id(task_id))
    return json_response({"ok": True})


def _tasks() -> Tasks:
    return current_application().services.tasks


def _id(text: str) -> int:
    """The id in a path; anything that is no number names no task."""
    number = fields.parse_whole_number(text)
    if number is None:
        raise NotFoundError
    return number
