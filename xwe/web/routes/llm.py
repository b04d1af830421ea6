"""Model access: one question, a conversation, many questions at once, and a streamed answer."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from flask import Blueprint, Response, request

from xwe.core.concurrency.bridge import async_route
from xwe.core.concurrency.gather import gather_with_limit
from xwe.core.nlp.completion import Completion, Timings, usage_fields
from xwe.core.nlp.llm_client import LLMClient
from xwe.services.answers import ReplyEncoder, open_deltas
from xwe.streams.answer import AnswerReader
from xwe.web.application import calls_model, current_application
from xwe.web.bodies import model
from xwe.web.bodies.json_bytes import json_response, parse_object, parse_query, read_body
from xwe.web.errors import report
from xwe.web.identity import body_limit, stream_owner
from xwe.web.server.request_id_middleware import elapsed_s
from xwe.web.streaming.formats import TEXT_HEADERS
from xwe.web.streaming.responses import text_stream

T = TypeVar("T")
P = ParamSpec("P")

blueprint = Blueprint("llm", __name__)


def takes(
    schema: Callable[[Mapping[str, Any]], T],
) -> Callable[[Callable[Concatenate[T, P], Response]], Callable[P, Response]]:
    """Give a view the request's body, checked, before what comes from the address.

    It is read in the request's own thread: an asynchronous view runs on the loop, and a client
    that sends slowly must not hold that up.
    """

    def decorate(view: Callable[Concatenate[T, P], Response]) -> Callable[P, Response]:
        @wraps(view)
        def with_body(*args: P.args, **kwargs: P.kwargs) -> Response:
            body = parse_object(read_body(request.environ, body_limit()))
            return view(schema(body), *args, **kwargs)

        return with_body

    return decorate


@blueprint.post("/api/llm/chat")
@calls_model
@takes(model.chat_request)
@async_route
async def chat(asked: model.ChatRequest) -> Response:
    """One question, one answer; `duration` in seconds."""
    completion = await _complete(asked)
    payload = {
        "response": completion.text,
        "duration": elapsed_s(request.environ),
        "usage": usage_fields(completion.usage),
    }
    return timed(payload, completion.timings)


@blueprint.post("/api/llm/conversation")
@calls_model
@takes(model.conversation_request)
@async_route
async def conversation(asked: model.ChatRequest) -> Response:
    """The next turn of a conversation that the client keeps."""
    completion = await _complete(asked)
    reply = {"role": "assistant", "content": completion.text}
    payload = {"response": completion.text, "conversation": [*asked.messages, reply]}
    return timed(payload, completion.timings)


@blueprint.post("/api/llm/batch")
@calls_model
@takes(model.batch_request)
@async_route
async def batch(asked: model.BatchRequest) -> Response:
    """Many questions at once, `limit` at a time; an error stays with its own item.

    `durations` says of each item how long after the request's arrival it was answered, in seconds.
    """
    spent: list[Timings] = []
    durations = [0.0] * len(asked.prompts)

    async def answer(index: int) -> dict[str, Any]:
        try:
            completion = await _complete(model.batch_item(asked, index))
        except Exception as error:  # noqa: BLE001 - whatever it is, it stays with its item
            return {"ok": False, "error": report(error)}
        finally:
            durations[index] = elapsed_s(request.environ)
        if completion.timings is not None:
            spent.append(completion.timings)
        return {"ok": True, "response": completion.text}

    results = await gather_with_limit(map(answer, range(len(asked.prompts))), limit=asked.limit)
    return _with_server_timing(
        json_response(
            {
                "results": results,
                "durations": durations,
                "total_duration": elapsed_s(request.environ),
            }
        ),
        # The calls ran side by side, so these are sums over them, as CPU seconds are over cores.
        queue_s=sum(timings.queue_s for timings in spent),
        upstream_s=sum(timings.upstream_s for timings in spent),
        overhead_s=sum(max(0.0, t.total_s - t.queue_s - t.upstream_s) for t in spent),
    )


@blueprint.get("/chat", endpoint="stream")
@calls_model
def stream_from_query() -> Response:
    """Stream the answer to `?prompt=` as plain text."""
    return _stream(model.stream_request(parse_query(request.environ)))


@blueprint.post("/chat", endpoint="stream_post")
@calls_model
@takes(model.stream_request)
def stream_from_body(asked: model.ChatRequest) -> Response:
    """The same for a prompt that no address has room for, or one with a conversation before it."""
    return _stream(asked)


def _stream(asked: model.ChatRequest) -> Response:
    if request.method == "HEAD":  # its headers are known without asking the model
        return Response((), headers=TEXT_HEADERS)
    answers, client, owner = current_application().services.answers, _client(), stream_owner()

    def join() -> AnswerReader:
        # Its reader could not come back: text says nothing of events or their numbers.
        with answers.reserve(owner, bound_to_reader=True) as answer:
            reader = answer.join()
            reply = open_deltas(client, asked.messages)
            answer.start(reply, ReplyEncoder(answer.answer_id, reply))
        return reader

    return text_stream(join)


def _client() -> LLMClient:
    return current_application().services.client


async def _complete(asked: model.ChatRequest) -> Completion:
    return await _client().complete_async(
        asked.messages, temperature=asked.temperature, max_tokens=asked.max_tokens
    )


def timed(payload: Mapping[str, Any], timings: Timings | None) -> Response:
    """A response whose Server-Timing says where its time went."""
    spent = timings or Timings()
    overhead_s = max(0.0, elapsed_s(request.environ) - spent.queue_s - spent.upstream_s)
    return _with_server_timing(json_response(payload), spent.queue_s, spent.upstream_s, overhead_s)


def _with_server_timing(
    response: Response, queue_s: float, upstream_s: float, overhead_s: float
) -> Response:
    response.headers["Server-Timing"] = (
        f"queue;dur={queue_s * 1000:.2f}, upstream;dur={upstream_s * 1000:.2f}, "
        f"overhead;dur={overhead_s * 1000:.2f}"
    )
    return response
