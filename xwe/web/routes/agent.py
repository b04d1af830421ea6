"""Turns with tools: what there is to call, and a turn as an answer."""

from flask import Blueprint, Response

from xwe.services.tool_chat import TurnEncoder, TurnRequest, open_turn
from xwe.streams.answer import AnswerReader
from xwe.web.application import calls_model, current_application, protected
from xwe.web.bodies import model
from xwe.web.bodies.json_bytes import json_response
from xwe.web.identity import stream_owner
from xwe.web.routes.llm import takes
from xwe.web.streaming.responses import message_stream

blueprint = Blueprint("agent", __name__)


@blueprint.get("/api/agent/tools")
@protected
def tools() -> Response:
    """The tools that a turn may call, with what they take and how they behave."""
    items = [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "effect": tool.effect,
            "on_result": tool.on_result,
            "timeout": tool.timeout_s,
        }
        for tool in current_application().services.agent.tools
    ]
    return json_response({"tools": items})


@blueprint.post("/api/agent/stream")
@calls_model
@takes(model.turn_request)
def stream(asked: TurnRequest) -> Response:
    """Stream a turn as a UI message stream; it can be rejoined and stopped like every answer."""
    services, owner = current_application().services, stream_owner()

    def join() -> AnswerReader:
        with services.answers.reserve(owner) as answer:
            answer.start(open_turn(services.agent, asked), TurnEncoder(answer.answer_id))
        return answer.join()

    return message_stream(join)
