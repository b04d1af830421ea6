"""The official SDK against the model server: what works with it works with a provider."""

import json
import math

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from xwe.mock import Behaviour, MockServer

HELLO = [{"role": "user", "content": "Hello!"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


@pytest.fixture(scope="module")
def keyed_server():
    with MockServer(api_key="right") as server:
        yield server


@pytest.fixture
def server(keyed_server):
    keyed_server.reset()
    return keyed_server


@pytest.fixture
def client(server):
    with OpenAI(base_url=server.base_url, api_key="right", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(server):
    async with AsyncOpenAI(base_url=server.base_url, api_key="right", max_retries=0) as client:
        yield client


def test_a_plain_reply(client):
    reply = client.chat.completions.create(model="any-name", messages=HELLO)
    choice = reply.choices[0]
    assert (reply.object, reply.model) == ("chat.completion", "any-name")
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert "demo model" in choice.message.content
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


async def test_a_plain_reply_asynchronously(async_client):
    reply = await async_client.chat.completions.create(model="m", messages=HELLO, max_tokens=3)
    assert (reply.choices[0].finish_reason, reply.usage.completion_tokens) == ("length", 3)


def test_a_stream_has_the_official_shape(client):
    plain = client.chat.completions.create(model="m", messages=HELLO)
    chunks = list(
        client.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    *pieces, finish, usage = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content for c in pieces) == plain.choices[0].message.content
    assert [c.choices[0].finish_reason for c in (*pieces, finish)] == [None] * len(pieces) + [
        "stop"
    ]
    assert (usage.choices, usage.usage) == ([], plain.usage)
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(pieces) > 20


async def test_a_stream_asynchronously_and_paced(async_client, server):
    server.script(Behaviour(text="一二三四", tokens_per_s=500))
    stream = await async_client.chat.completions.create(model="m", messages=HELLO, stream=True)
    pieces = [chunk.choices[0].delta.content async for chunk in stream]
    assert pieces == ["", "一", "二", "三", "四", None]


@pytest.mark.parametrize("arguments", ["trickle", "burst"])
def test_tools_are_called_and_their_results_are_answered(client, arguments):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    extra = {"mock": {"tool_arguments": arguments}}
    with client.chat.completions.stream(
        model="m", messages=messages, tools=[WEATHER], extra_body=extra
    ) as stream:
        pieces = [e for e in stream if e.type == "tool_calls.function.arguments.delta"]
        message = stream.get_final_completion().choices[0].message
    assert (len(pieces) > 3) == (arguments == "trickle")
    (call,) = message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    messages += [
        message.model_dump(include={"role", "content", "tool_calls"}),
        {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear"}'},
    ]
    reply = client.chat.completions.create(model="m", messages=messages, tools=[WEATHER])
    assert "sky: clear" in reply.choices[0].message.content


class Ferry(BaseModel):
    """The shape of a structured reply."""

    name: str
    seats: int
    ports: list[str]


def test_a_structured_reply_is_parsed(client):
    reply = client.chat.completions.parse(model="m", messages=HELLO, response_format=Ferry)
    assert isinstance(reply.choices[0].message.parsed, Ferry)


def test_models_are_listed_and_found(client):
    names = [model.id for model in client.models.list()]
    assert client.models.retrieve(names[0]).owned_by == "xwe"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("no-such-model")


def test_embeddings_of_one_and_of_many_texts(client):
    one = client.embeddings.create(model="xwe-demo-embedding", input="hello there")
    many = client.embeddings.create(
        model="xwe-demo-embedding", input=["hello there", "hi"], encoding_format="float"
    )
    assert one.data[0].embedding == pytest.approx(many.data[0].embedding, abs=1e-6)
    assert math.hypot(*many.data[1].embedding) == pytest.approx(1)
    assert [item.index for item in many.data] == [0, 1]
    small = client.embeddings.create(model="e", input="hello", dimensions=8)
    assert len(small.data[0].embedding) == 8


def test_a_wrong_key_is_an_authentication_error(server, client):
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="wrong").models.list()
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    ("behaviour", "error", "code"),
    [
        (Behaviour(fault="status", status=401), openai.AuthenticationError, "invalid_api_key"),
        (Behaviour(fault="status", status=403), openai.PermissionDeniedError, None),
        (Behaviour(fault="status", status=404), openai.NotFoundError, "model_not_found"),
        (Behaviour(fault="status", status=429), openai.RateLimitError, "rate_limit_exceeded"),
        (
            Behaviour(fault="status", status=429, error_code="insufficient_quota"),
            openai.RateLimitError,
            "insufficient_quota",
        ),
        (Behaviour(fault="status", status=500), openai.InternalServerError, None),
        (Behaviour(fault="status", status=529), openai.InternalServerError, None),
        (Behaviour(fault="reset"), openai.APIConnectionError, None),
        (Behaviour(fault="close"), openai.APIConnectionError, None),
    ],
)
def test_faults_are_the_errors_that_the_sdk_names(server, client, behaviour, error, code):
    server.script(behaviour)
    with pytest.raises(error) as caught:
        client.chat.completions.create(model="m", messages=HELLO)
    assert caught.value.code == code


def test_retry_after_is_sent_when_asked_for(server, client):
    server.script(Behaviour(fault="status", status=429, retry_after_s=7))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="m", messages=HELLO)
    assert caught.value.response.headers["Retry-After"] == "7"
    server.script(Behaviour(fault="status", status=429))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="m", messages=HELLO)
    assert "Retry-After" not in caught.value.response.headers


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"extra_body": {"mock": {"latency": 1}}}, "mock.latency"),
        ({"extra_body": {"mock": {"status": "bad"}}}, "mock.status"),
    ],
)
def test_a_bad_request_error_names_the_field(client, changes, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "m", "messages": HELLO, **changes})
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
