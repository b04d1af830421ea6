"""Live answers over server-sent events: begin one, join it again, stop it."""

from collections.abc import Callable
from functools import partial

from flask import Blueprint, Response, request

from xwe.bootstrap import Services
from xwe.errors import InvalidRequestError
from xwe.services.answers import begin_answer
from xwe.streams import ui_messages
from xwe.streams.live_stream import LiveStream
from xwe.web import schemas, sse
from xwe.web.application import calls_model, current_application, protected
from xwe.web.bodies import json_response
from xwe.web.departure import connection_of
from xwe.web.routes.llm import takes
from xwe.web.sse import ThreadWriter

blueprint = Blueprint("generations", __name__)

# Until there are accounts, knowing an answer's name, which nobody can guess, is the right to it.
OWNER = "-"


@blueprint.post("/api/llm/stream")
@calls_model
@takes(schemas.chat_request)
def begin(asked: schemas.ChatRequest) -> Response:
    """Stream the answer as a UI message stream; it lives on when its reader leaves."""
    return _written(partial(begin_asked, current_application().services, asked), 0)


@blueprint.get("/api/generations/<stream_id>/events")
@protected
def rejoin(stream_id: str) -> Response:
    """Join an answer, running or finished, after the event that was seen last."""
    find = partial(current_application().services.streams.find, stream_id, OWNER)
    return _written(find, _last_seen())


@blueprint.post("/api/generations/<stream_id>/stop")
@protected
def stop(stream_id: str) -> Response:
    """End an answer; what came until then stands."""
    current_application().services.streams.stop(stream_id, OWNER)
    return json_response({"ok": True})


def begin_asked(services: Services, asked: schemas.ChatRequest) -> LiveStream:
    """Begin the answer to what a client asked."""
    return begin_answer(
        services.client,
        services.streams,
        asked.messages,
        OWNER,
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
    )


def _last_seen() -> int:
    text = request.headers.get("Last-Event-ID") or request.args.get("after") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 - more is no count of events
        raise InvalidRequestError("Last-Event-ID must be an event's number.", field="Last-Event-ID")
    return int(text)


def _written(open_stream: Callable[[], LiveStream], after: int) -> Response:
    app = current_application()
    # The place first: without one to read it, no answer is begun and paid for.
    app.stream_places.enter_blocking(0)
    try:
        stream = open_stream()
        reader = stream.join(after)
    except BaseException:
        app.stream_places.leave()
        raise
    writer = ThreadWriter(
        reader, app.writing_times, app.stream_places, connection_of(request.environ)
    )
    headers = {**sse.HEADERS, **ui_messages.HEADERS, "X-Generation-Id": stream.stream_id}
    return Response(writer, headers=headers)
