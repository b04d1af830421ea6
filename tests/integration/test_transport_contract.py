"""What a caller may rely on, whichever transport is behind the client: same results, all three."""

import threading

import pytest

from xwe.core.nlp.completion import (
    CompletionRequest,
    Delta,
    ToolCall,
    Usage,
)
from xwe.errors import (
    InvalidRequestError,
)

TEXT = "你好，世界 🌍 – a reply in several scripts."


def assembled(source):
    deltas = list(source)
    text = "".join(delta.text for delta in deltas)
    finish = [delta.finish_reason for delta in deltas if delta.finish_reason]
    usage = [delta.usage for delta in deltas if delta.usage]
    return text, finish, usage


# --- whole replies ---


def test_a_whole_reply_is_the_same_through_every_transport(transport, ask):
    completion = transport.complete(ask(text=TEXT, reasoning="hm"))
    assert completion.text == TEXT
    assert completion.finish_reason == "stop"
    assert isinstance(completion.usage, Usage)
    assert completion.model == "m"
    assert completion.message["reasoning_content"] == "hm"
    assert completion.timings is None


def test_what_goes_over_the_wire_is_the_same_through_every_transport(
    transport, mock_server, ask, key
):
    request = CompletionRequest(
        messages=[{"role": "user", "content": TEXT}],
        model="m",
        temperature=0.5,
        max_tokens=7,
        extra={"top_p": 0.9, "unknown_to_the_sdk": {"a": [1, None]}},
    )
    transport.complete(request)
    (received,) = mock_server.requests
    assert received.path == "/v1/chat/completions"
    assert received.body == {
        "messages": [{"role": "user", "content": TEXT}],
        "model": "m",
        "temperature": 0.5,
        "max_tokens": 7,
        "top_p": 0.9,
        "unknown_to_the_sdk": {"a": [1, None]},
    }
    assert received.headers["Authorization"] == f"Bearer {key}"
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["Accept-Encoding"] == "identity"


def test_tool_calls_are_read_from_a_whole_reply(transport, ask):
    calls = [{"name": "weather", "arguments": '{"city": "北京"}', "id": "c1"}]
    completion = transport.complete(ask(tool_calls=calls))
    assert completion.tool_calls == (ToolCall("c1", "weather", '{"city": "北京"}'),)
    assert completion.finish_reason == "tool_calls"


def test_a_body_of_several_megabytes_passes_both_ways(open_transport, wire, ask):
    text = "x" * 3_000_000
    server = wire.serve(lambda _, connection: connection.sendall(wire.reply(wire.completion(text))))
    assert open_transport(server.url).complete(ask(text)).text == text
    assert len(server.requests[0]) > len(text)


def test_what_cannot_be_sent_is_refused_before_anything_is_sent(transport, mock_server):
    request = CompletionRequest(messages=[{"role": "user", "content": "\ud83d"}], model="m")
    with pytest.raises(InvalidRequestError):
        transport.complete(request)
    with pytest.raises(InvalidRequestError):
        next(transport.stream(request))
    assert mock_server.requests == []


# --- streams ---


@pytest.mark.parametrize(
    "behaviour",
    [
        {},
        {"line_end": "crlf"},
        {"line_end": "cr"},
        {"write_bytes": 7},
        {"write_bytes": 1, "line_end": "crlf"},
        {"events_per_write": 5},
        {"comment_every": 2},
        {"fault": "no_done"},
    ],
    ids=str,
)
def test_a_stream_gives_the_text_however_it_was_cut(transport, ask, behaviour):
    deltas = list(transport.stream(ask(text=TEXT, **behaviour)))
    text, finish, usage = assembled(deltas)
    assert text == TEXT
    assert finish == ["stop"]
    assert len(usage) == 1
    assert len(deltas) > 5


def test_a_stream_and_a_whole_reply_tell_the_same(transport, ask):
    request = ask(text=TEXT)
    whole = transport.complete(request)
    text, finish, usage = assembled(transport.stream(request))
    assert (text, finish, usage) == (whole.text, [whole.finish_reason], [whole.usage])


def test_a_stream_asks_for_a_stream_with_usage(transport, mock_server, ask):
    list(transport.stream(ask()))
    body = mock_server.requests[0].body
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


def test_reasoning_comes_as_extra_fields(transport, ask):
    deltas = list(transport.stream(ask(text=TEXT, reasoning="let me think")))
    thought = "".join((delta.extra or {}).get("reasoning_content", "") for delta in deltas)
    assert thought == "let me think"


@pytest.mark.parametrize("shape", ["openai", "no_index", "zero_index", "no_id"])
@pytest.mark.parametrize("arguments", ["trickle", "burst"])
def test_pieces_of_tool_calls_come_as_the_provider_cut_them(transport, ask, shape, arguments):
    calls = [{"name": "f", "arguments": '{"a": "东"}'}, {"name": "g", "arguments": "{}"}]
    request = ask(tool_calls=calls, tool_call_shape=shape, tool_arguments=arguments)
    pieces = [piece for delta in transport.stream(request) for piece in delta.tool_calls]
    assert [piece.name for piece in pieces if piece.name] == ["f", "g"]
    assert "".join(piece.arguments for piece in pieces) == '{"a": "东"}{}'
    assert {piece.index for piece in pieces} == {
        "openai": {0, 1},
        "no_id": {0, 1},
        "zero_index": {0},
        "no_index": {None},
    }[shape]


def test_pieces_are_given_as_they_come_and_not_at_the_end(open_transport, wire, ask):
    goes_on = threading.Event()

    def script(_, connection):
        connection.sendall(wire.stream_start + wire.chunk(wire.event("first")))
        goes_on.wait(60)
        last = wire.event("last", finish_reason="stop")
        connection.sendall(wire.chunk(last + wire.done) + wire.stream_end)

    stream = open_transport(wire.serve(script).url).stream(ask())
    assert next(stream) == Delta("first")
    goes_on.set()
    assert list(stream) == [Delta("last", finish_reason="stop")]


def test_a_server_that_does_not_stream_gives_one_piece(open_transport, wire, ask):
    server = wire.serve(lambda _, connection: connection.sendall(wire.reply(wire.completion())))
    deltas = list(open_transport(server.url).stream(ask()))
    assert deltas == [Delta("hi", finish_reason="stop")]


def test_usage_behind_the_finish_is_not_waited_for_for_ever(open_transport, wire, ask, monkeypatch):
    monkeypatch.setattr("xwe.core.nlp.transports.attempt_timeout.TAIL_S", 0.05)
    ended = threading.Event()

    def script(_, connection):
        finish = wire.event("hi", finish_reason="stop")
        connection.sendall(wire.stream_start + wire.chunk(finish))
        ended.wait(60)

    stream = open_transport(wire.serve(script).url).stream(ask())
    assert list(stream) == [Delta("hi", finish_reason="stop")]
    assert not ended.is_set()
    ended.set()


def test_a_connection_that_breaks_after_the_finish_breaks_nothing(open_transport, wire, ask):
    def script(_, connection):
        finish = wire.event("hi", finish_reason="stop")
        connection.sendall(wire.stream_start + wire.chunk(finish))
        return False

    stream = open_transport(wire.serve(script).url).stream(ask())
    assert list(stream) == [Delta("hi", finish_reason="stop")]
