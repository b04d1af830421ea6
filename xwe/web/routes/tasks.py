"""Tasks: background work of the signed-in user, looked at, watched, cancelled and tried again."""

from collections.abc import Mapping
from functools import partial

from flask import Blueprint, Response, request

from xwe.errors import InvalidRequestError, NotFoundError
from xwe.services.tasks import Tasks
from xwe.web.application import calls_model, current_application
from xwe.web.bodies import json_response, parse_query
from xwe.web.identity import login_required, require_user
from xwe.web.streaming.responses import event_stream

blueprint = Blueprint("tasks", __name__)

MAX_LISTED = 200
_LISTED = 50
# More digits are no row's number, and more than the databases take.
_MAX_DIGITS = 18


@blueprint.get("/api/tasks")
@login_required
def listed() -> Response:
    """The user's tasks, newest first; `before_id` asks for older ones."""
    query = parse_query(request.environ)
    limit = _number(query, "limit") or _LISTED
    items = _tasks().listed(
        require_user().id, before_id=_number(query, "before_id"), limit=min(limit, MAX_LISTED)
    )
    return json_response({"items": items})


@blueprint.get("/api/tasks/<task_id>")
@login_required
def get(task_id: str) -> Response:
    """How far a task is."""
    return json_response(_tasks().get(require_user().id, _id(task_id)))


@blueprint.get("/api/tasks/<task_id>/events")
@login_required
def events(task_id: str) -> Response:
    """The same over server-sent events: the state now, each change, and an end after the last."""
    watch = partial(_tasks().watch, require_user().id, _id(task_id))
    return event_stream(watch)


@blueprint.post("/api/tasks/<task_id>/cancel")
@login_required
def cancel(task_id: str) -> Response:
    """End a task; one that has ended stays as it is."""
    _tasks().cancel(require_user().id, _id(task_id))
    return json_response({"ok": True})


@blueprint.post("/api/tasks/<task_id>/retry")
@login_required
@calls_model
def retry(task_id: str) -> Response:
    """Try a failed or cancelled task again; what it has got done stays."""
    _tasks().retry(require_user().id, _id(task_id))
    return json_response({"ok": True})


def _tasks() -> Tasks:
    return current_application().services.tasks


def _id(text: str) -> int:
    """The number in a path; whatever else stands there is no task either."""
    if not _is_number(text):
        raise NotFoundError
    return int(text)


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _is_number(text) or int(text) == 0:
        raise InvalidRequestError(f"{name} must be a whole number from 1 on.", field=name)
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
