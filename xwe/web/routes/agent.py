"""Turns with tools: what there is to call, and a turn as a live answer."""

from functools import partial

from flask import Blueprint, Response

from xwe.services.tool_chat import TurnRequest, begin_turn
from xwe.web import schemas
from xwe.web.application import calls_model, current_application, protected
from xwe.web.bodies import json_response
from xwe.web.identity import stream_owner
from xwe.web.routes.generations import written
from xwe.web.routes.llm import takes

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
@takes(schemas.turn_request)
def stream(asked: TurnRequest) -> Response:
    """Stream a turn as a UI message stream; it can be rejoined and stopped like every answer."""
    services = current_application().services
    begin = partial(begin_turn, services.agent, services.streams, asked, stream_owner())
    return written(begin, 0)
