"""The chat with one character: read it, send a message, regenerate an answer."""

from flask import Blueprint, Response, request

from xwe.services.chats.replay import has_ended
from xwe.services.chats.service import Chats
from xwe.web.application import calls_model, current_application, login_required
from xwe.web.bodies import chats as bodies
from xwe.web.bodies.accounts import row_id
from xwe.web.bodies.json_bytes import json_response, parse_query
from xwe.web.identity import require_user
from xwe.web.routes.llm import takes, timed
from xwe.web.streaming.formats import HEADERS, parse_last_event_id
from xwe.web.streaming.responses import message_stream, plain_event_stream

blueprint = Blueprint("chats", __name__)


@blueprint.get("/api/chat/<role>/messages")
@login_required
def messages(role: str) -> Response:
    """The newest messages, ascending; `before_seq` pages upward, `after_seq` asks what is new."""
    asked = bodies.page_query(parse_query(request.environ))
    page = _chats().messages(
        require_user().id, role, asked.before_seq, asked.limit, after_seq=asked.after_seq
    )
    return json_response(bodies.described_page(page))


@blueprint.post("/api/chat/<role>/messages")
@login_required
@calls_model
@takes(bodies.said)
def reply(said: bodies.Said, role: str) -> Response:
    """Say something, and get the whole answer."""
    answer = _chats().reply(require_user().id, role, said.content, _key(said.client_id))
    payload = {
        "reply": answer.text,
        "message_id": answer.message_id,
        "generation_id": answer.generation_id,
        "status": answer.status,
    }
    return timed(payload, answer.timings)


@blueprint.post("/api/chat/<role>/stream")
@login_required
@calls_model
@takes(bodies.said)
def stream(said: bodies.Said, role: str) -> Response:
    """Say something; the answer is a UI message stream, and can be rejoined and stopped."""
    user_id, key = require_user().id, _key(said.client_id)
    return message_stream(lambda: _chats().say(user_id, role, said.content, key).join())


@blueprint.get("/api/chat/<role>/stream")
@login_required
@calls_model
def plain_stream(role: str) -> Response:
    """The same for front ends that read `data:` lines as they are.

    It is a GET that says something, so a browser that connects again by itself must not say it
    twice: it is joined to the answer that it has read, and to one that is on its way.
    """
    chats, user_id = _chats(), require_user().id
    query = parse_query(request.environ)
    said = bodies.said({"content": query.get("content"), "client_id": query.get("client_id")})
    if request.method == "HEAD":  # its headers are known without asking the model
        return Response((), headers=HEADERS)
    read = parse_last_event_id(request.headers.get("Last-Event-ID", ""))
    if read is None:
        return plain_event_stream(
            lambda: chats.say_or_join(user_id, role, said.content, said.client_id).join()
        )
    generation_id, chars = read
    answer = chats.answer(user_id, generation_id)
    if has_ended(answer) and chars >= len(answer.content):
        return Response(status=204)  # which tells a browser to connect no more
    return plain_event_stream(lambda: chats.join(user_id, generation_id), chars)


@blueprint.post("/api/chat/<role>/messages/<int:message_id>/regenerate")
@login_required
@calls_model
def regenerate(role: str, message_id: int) -> Response:
    """Have an answer made once more; the new one is a variant, streamed."""
    user_id, key = require_user().id, _key(None)
    place = row_id(message_id)
    return message_stream(lambda: _chats().regenerate(user_id, role, place, key).join())


@blueprint.post("/api/chat/<role>/messages/<int:message_id>/select")
@login_required
def select(role: str, message_id: int) -> Response:
    """Show this one of an answer's variants."""
    shown = _chats().select_variant(require_user().id, role, row_id(message_id))
    return json_response({"ok": True, "message": bodies.described(shown)})


def _chats() -> Chats:
    return current_application().services.chats


def _key(client_id: str | None) -> str | None:
    """What makes two requests the same one: the header, or the message's own id."""
    header = bodies.client_id(request.headers.get("Idempotency-Key"), "Idempotency-Key")
    return header if header is not None else client_id
