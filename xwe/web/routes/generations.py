"""Live answers over server-sent events: begin one, join it again, stop it."""

from collections.abc import Callable
from functools import partial

from flask import Blueprint, Response, request

from xwe.bootstrap import Services
from xwe.errors import InvalidRequestError, NotFoundError, UnknownStreamError
from xwe.services.answers import begin_answer
from xwe.services.chats.values import Joined
from xwe.streams import ui_messages
from xwe.streams.live_stream import LiveStream, StreamReader
from xwe.web import schemas, sse
from xwe.web.application import Application, calls_model, current_application, protected
from xwe.web.bodies import json_response
from xwe.web.departure import connection_of
from xwe.web.identity import current_user, stream_owner
from xwe.web.loop_writer import writer_for
from xwe.web.plain_sse import PlainText
from xwe.web.routes.llm import takes
from xwe.web.stream_places import Place

blueprint = Blueprint("generations", __name__)


@blueprint.post("/api/llm/stream")
@calls_model
@takes(schemas.chat_request)
def begin(asked: schemas.ChatRequest) -> Response:
    """Stream the answer as a UI message stream; it lives on when its reader leaves."""
    begin_for = partial(begin_asked, current_application().services, asked, stream_owner())
    return written(begin_for, 0)


@blueprint.get("/api/generations/<stream_id>/events")
@protected
def rejoin(stream_id: str) -> Response:
    """Join an answer, running or finished, after the event that was seen last."""
    services, user, after = current_application().services, current_user(), _last_seen()
    if user is None:
        return written(partial(services.streams.find, stream_id, stream_owner()), after)
    return written_from(partial(_join, services, user.id, stream_id, after))


@blueprint.post("/api/generations/<stream_id>/stop")
@protected
def stop(stream_id: str) -> Response:
    """End an answer; what came until then stands."""
    services, user = current_application().services, current_user()
    if user is None or not _stop_stored(services, user.id, stream_id):
        services.streams.stop(stream_id, stream_owner())
    return json_response({"ok": True})


def _join(services: Services, user_id: int, stream_id: str, after: int) -> Joined:
    """A stored answer, or one that is in memory alone; unknown ones look alike."""
    try:
        return services.chats.join(user_id, stream_id, after)
    except NotFoundError:
        raise UnknownStreamError from None


def _stop_stored(services: Services, user_id: int, stream_id: str) -> bool:
    try:
        services.chats.stop(user_id, stream_id)
    except NotFoundError:
        return False
    return True


def begin_asked(services: Services, asked: schemas.ChatRequest, owner: str) -> LiveStream:
    """Begin the answer to what a client asked."""
    return begin_answer(
        services.client,
        services.streams,
        asked.messages,
        owner,
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
    )


def _last_seen() -> int:
    text = request.headers.get("Last-Event-ID") or request.args.get("after") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 - more is no count of events
        raise InvalidRequestError("Last-Event-ID must be an event's number.", field="Last-Event-ID")
    return int(text)


def written(open_stream: Callable[[], LiveStream], after: int) -> Response:
    """A response that writes a live answer to whoever asked, from after an event's number on."""
    return written_from(lambda: Joined(open_stream(), after))


def written_from(join: Callable[[], Joined]) -> Response:
    """A response that writes a live answer to whoever asked."""
    app = current_application()
    place, stream, reader = _entered(app, join)
    writer = writer_for(request.environ, reader, app.writing_times, place)
    headers = {**sse.HEADERS, **ui_messages.HEADERS, "X-Generation-Id": stream.stream_id}
    return Response(writer, headers=headers)


def written_plainly(open_stream: Callable[[], LiveStream], skip: int) -> Response:
    """A response that writes the text alone, without its first `skip` characters."""
    app = current_application()
    place, stream, reader = _entered(app, lambda: Joined(open_stream(), 0))
    writer = sse.ThreadWriter(
        reader,
        app.writing_times,
        place,
        connection_of(request.environ),
        PlainText(stream.stream_id, skip),
    )
    return Response(writer, headers={**sse.HEADERS, "X-Generation-Id": stream.stream_id})


def _entered(
    app: Application, join: Callable[[], Joined]
) -> tuple[Place, LiveStream, StreamReader]:
    # The place first: without one to read it, no answer is begun and paid for.
    place = app.stream_places.take(stream_owner())
    try:
        joined = join()
        return place, joined.stream, joined.stream.join(joined.after)
    except BaseException:
        place.leave()
        raise
