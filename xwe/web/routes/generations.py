"""Answers over server-sent events: start one, join it again, stop it."""

from flask import Blueprint, Response, request

from xwe.bootstrap import Services
from xwe.errors import InvalidRequestError, NotFoundError, UnknownStreamError
from xwe.services.answers import ReplyEncoder, open_deltas
from xwe.streams.answer import Answer, AnswerReader
from xwe.streams.answers import NOBODY
from xwe.web.application import calls_model, current_application, protected
from xwe.web.bodies import fields, model
from xwe.web.bodies.json_bytes import json_response
from xwe.web.identity import stream_owner
from xwe.web.routes.llm import takes
from xwe.web.streaming.responses import message_stream

blueprint = Blueprint("generations", __name__)


@blueprint.post("/api/llm/stream")
@calls_model
@takes(model.chat_request)
def begin(asked: model.ChatRequest) -> Response:
    """Stream the answer as a UI message stream; it lives on when its reader leaves."""
    services, owner = current_application().services, stream_owner()
    return message_stream(lambda: start(services, asked, owner).join())


@blueprint.get("/api/generations/<stream_id>/events")
@protected
def rejoin(stream_id: str) -> Response:
    """Join an answer, running or finished, after the event that was seen last."""
    services, owner, after = current_application().services, stream_owner(), _last_seen()
    return message_stream(lambda: join(services, owner, stream_id, after))


@blueprint.post("/api/generations/<stream_id>/stop")
@protected
def stop(stream_id: str) -> Response:
    """End an answer; what has come stands."""
    end(current_application().services, stream_owner(), stream_id)
    return json_response({"ok": True})


def start(services: Services, asked: model.ChatRequest, owner: str) -> Answer:
    """Start the answer to what a client asked.

    Raises:
        SaturatedError: as many answers run as may.
        LimitExceededError: as many of the owner's.
        DrainingError: the process is about to end.
    """
    with services.answers.reserve(owner) as answer:
        reply = open_deltas(
            services.client,
            asked.messages,
            temperature=asked.temperature,
            max_tokens=asked.max_tokens,
        )
        return answer.start(reply, ReplyEncoder(answer.answer_id, reply))


def join(services: Services, owner: str, answer_id: str, after: int) -> AnswerReader:
    """Join an answer of the owner's, wherever it is made and whether or not it still runs.

    Raises:
        UnknownStreamError: there is none, or it is not theirs; the error is the same.
        StreamGapError: the events after `after` are gone, or never existed.
    """
    if owner == NOBODY:
        return services.answers.find(answer_id, owner).join(after)
    try:
        return services.chats.join(int(owner), answer_id, after)
    except NotFoundError:
        raise UnknownStreamError from None


def end(services: Services, owner: str, answer_id: str) -> None:
    """Stop an answer of the owner's, wherever it is made; what has come stands.

    Raises:
        UnknownStreamError: there is none, or it is not theirs; the error is the same.
    """
    if owner != NOBODY:
        try:
            services.chats.stop(int(owner), answer_id)
        except NotFoundError:  # not a stored one
            pass
        else:
            return
    services.answers.find(answer_id, owner).end()


def _last_seen() -> int:
    number = fields.parse_whole_number(
        request.headers.get("Last-Event-ID") or request.args.get("after") or "0"
    )
    if number is None:
        raise InvalidRequestError("Last-Event-ID must be an event's number.", field="Last-Event-ID")
    return number
