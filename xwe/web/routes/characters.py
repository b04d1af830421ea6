"""Characters: created from a source, read and edited by category, renamed, copied, restored."""

from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar

from flask import Blueprint, Response, request

from xwe.errors import NotFoundError
from xwe.services.characters.bundled_texts import sample
from xwe.services.characters.categories import LANGUAGES, PROFILE_CATEGORIES, SOURCE, as_language
from xwe.services.characters.service import Characters, NewCharacter, Sheet, structured
from xwe.storage.records import CharacterSummary, MemoryTier
from xwe.web.application import calls_model, current_application, login_required
from xwe.web.bodies import characters as bodies
from xwe.web.bodies.json_bytes import json_response, parse_object, read_body
from xwe.web.identity import require_user
from xwe.web.pages.rendering import render_page
from xwe.web.routes.llm import takes

T = TypeVar("T")
P = ParamSpec("P")

blueprint = Blueprint("characters", __name__)


def may_take(
    schema: Callable[[Mapping[str, Any]], T],
) -> Callable[[Callable[Concatenate[T, P], Response]], Callable[P, Response]]:
    """Like `takes`, for bodies that may be missing.

    They may be as large as the server allows: a source is a document, not a prompt.
    """

    def decorate(view: Callable[Concatenate[T, P], Response]) -> Callable[P, Response]:
        @wraps(view)
        def with_body(*args: P.args, **kwargs: P.kwargs) -> Response:
            limit = current_application().settings.server.max_body_bytes
            body = read_body(request.environ, limit)
            return view(schema(parse_object(body) if body else {}), *args, **kwargs)

        return with_body

    return decorate


@blueprint.get("/api/characters")
@login_required
def listed() -> Response:
    """The user's characters, most recently used first."""
    items = [_summary(each) for each in _characters().listed(require_user().id)]
    return json_response({"items": items})


@blueprint.post("/api/characters")
@login_required
@calls_model
@may_take(bodies.new_character)
def create(asked: NewCharacter) -> Response:
    """Create a character; its sheet is written in the background."""
    made = _characters().create(require_user().id, asked)
    return json_response({"task_id": made.task_id, "role": made.role}, HTTPStatus.ACCEPTED)


@blueprint.get("/api/characters/samples")
@login_required
def samples() -> Response:
    """The sample texts of the application."""
    items = [
        {"name": each.name, "language": each.language, "text": each.text}
        for each in map(sample, LANGUAGES)
    ]
    return json_response({"items": items})


@blueprint.get("/api/characters/<role>/structured")
@login_required
def sheet(role: str) -> Response:
    """The sheet: the categories written so far, and everything else about the character."""
    found = _characters().sheet(require_user().id, role)
    return json_response(structured(found), headers=_etag(found.character.version))


@blueprint.put("/api/characters/<role>/structured")
@login_required
@may_take(bodies.sheet_change)
def save_sheet(change: bodies.SheetChange, role: str) -> Response:
    """Replace the given categories, unless the sheet has changed since it was read."""
    version = _characters().save(
        require_user().id,
        role,
        change.categories,
        version=bodies.version_of(request.headers.get("If-Match"), change),
        first_message=change.first_message,
    )
    return json_response({"ok": True, "version": version}, headers=_etag(version))


@blueprint.post("/api/characters/<role>/categories/<path:name>/retry")
@login_required
@calls_model
@may_take(bodies.model_choice)
def retry_category(model: str | None, role: str, name: str) -> Response:
    """Regenerate one category."""
    return _queued(_characters().retry_category(require_user().id, role, name, model))


@blueprint.post("/api/characters/<role>/complete")
@login_required
@calls_model
@may_take(bodies.model_choice)
def complete(model: str | None, role: str) -> Response:
    """Generate what is missing from the sheet."""
    return _queued(_characters().complete(require_user().id, role, model))


@blueprint.get("/api/characters/<role>/memories")
@login_required
def memories(role: str) -> Response:
    """What the character remembers."""
    tiers = _characters().memories(require_user().id, role)
    return json_response({"short_term": tiers["short"], "long_term": tiers["long"]})


@blueprint.put("/api/characters/<role>/memories")
@login_required
@takes(bodies.memory_tiers)
def save_memories(tiers: Mapping[MemoryTier, list[str]], role: str) -> Response:
    """Replace its memories, tier by tier."""
    _characters().set_memories(require_user().id, role, tiers)
    return json_response({"ok": True})


@blueprint.put("/api/characters/<role>/rename")
@login_required
@takes(bodies.new_name)
def rename(name: str, role: str) -> Response:
    """Rename it."""
    return json_response({"ok": True, "role": _characters().rename(require_user().id, role, name)})


@blueprint.post("/api/characters/<role>/copy")
@login_required
@may_take(bodies.optional_new_name)
def copy(name: str | None, role: str) -> Response:
    """A second character with the same sheet."""
    return json_response({"ok": True, "role": _characters().copy(require_user().id, role, name)})


@blueprint.delete("/api/characters/<role>")
@login_required
def remove(role: str) -> Response:
    """Delete it; it can be restored."""
    _characters().remove(require_user().id, role)
    return json_response({"ok": True})


@blueprint.post("/api/characters/<role>/restore")
@login_required
def restore(role: str) -> Response:
    """Restore a deleted character."""
    _characters().restore(require_user().id, role)
    return json_response({"ok": True})


@blueprint.get("/characters")
@login_required
def list_page() -> Response:
    """The user's characters as cards."""
    return render_page("characters.html")


@blueprint.get("/characters/new")
@login_required
def new_page() -> Response:
    """The form for a new character."""
    is_demo = current_application().settings.provider.is_demo
    return render_page("character_new.html", is_demo=is_demo)


@blueprint.get("/characters/<role>")
@login_required
def sheet_page(role: str) -> Response:
    """A character's sheet, even while it is being written."""
    try:
        found = _characters().sheet(require_user().id, role)
    except NotFoundError:
        return render_page("error.html", HTTPStatus.NOT_FOUND, code=int(HTTPStatus.NOT_FOUND))
    return render_page(
        "character.html",
        role=found.character.name,
        sheet=structured(found),
        categories=_shape(found),
        source_name=SOURCE[as_language(found.character.language)],
        is_demo=current_application().settings.provider.is_demo,
    )


def _shape(found: Sheet) -> list[dict[str, Any]]:
    """The categories in order, each with its fields and the names of the fields that are lists."""
    language = structured(found)["language"]
    return [
        {"name": each.name, "fields": each.fields, "lists": sorted(each.lists)}
        for each in PROFILE_CATEGORIES[language]
    ]


def _characters() -> Characters:
    return current_application().services.characters


def _queued(task_id: int) -> Response:
    return json_response({"task_id": task_id}, HTTPStatus.ACCEPTED)


def _etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def _summary(each: CharacterSummary) -> dict[str, Any]:
    return {
        "id": each.id,
        "role": each.name,
        "updated_at": each.updated_at.isoformat(),
        "preview": each.preview,
        "avatar_url": None,
    }
