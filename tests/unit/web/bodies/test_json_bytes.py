"""Request and response bodies, byte by byte."""

import io
from typing import Any

import orjson
import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from xwe.errors import InvalidRequestError
from xwe.web.bodies.json_bytes import json_response, parse_object, parse_query, read_body


class BrokenInput(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError("connection reset")


def environ(body: bytes = b"", **more: Any) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(body), **more}


def test_a_body_of_the_announced_length_is_read() -> None:
    assert read_body(environ(b"12345", CONTENT_LENGTH="5"), 5) == b"12345"


def test_a_chunked_body_is_read_to_its_end() -> None:
    assert read_body(environ(b"12345", **{"wsgi.input_terminated": True}), 5) == b"12345"


def test_without_a_length_and_without_an_end_there_is_no_body() -> None:
    """Reading on would wait for the next request on the connection."""
    assert read_body(environ(b"12345"), 5) == b""


def test_too_long_a_body_is_refused_before_it_is_read() -> None:
    asked = environ(b"", CONTENT_LENGTH="6")
    with pytest.raises(RequestEntityTooLarge):
        read_body(asked, 5)
    assert asked["wsgi.input"].tell() == 0


def test_too_long_a_chunked_body_is_refused_at_its_limit() -> None:
    asked = environ(b"x" * 100, **{"wsgi.input_terminated": True})
    with pytest.raises(RequestEntityTooLarge):
        read_body(asked, 5)
    assert asked["wsgi.input"].tell() == 6


def test_a_body_that_ends_early_is_the_clients_mistake() -> None:
    with pytest.raises(InvalidRequestError, match="shorter"):
        read_body(environ(b"123", CONTENT_LENGTH="5"), 10)
    with pytest.raises(InvalidRequestError, match="to its end"):
        read_body({"wsgi.input": BrokenInput(), "CONTENT_LENGTH": "5"}, 10)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\x00"}', "control character"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[" * 100_000, "depth"),
        (b'{"a":' * 100_000, "depth"),
        (b"[1]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_json_object_is_refused_by_name(body: bytes, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        parse_object(body)


def test_a_query_is_utf_8_escaped_or_not() -> None:
    raw = "prompt=你好".encode().decode("latin-1")  # as WSGI hands it over
    assert parse_query({"QUERY_STRING": raw}) == {"prompt": "你好"}
    assert parse_query({"QUERY_STRING": "prompt=%E4%BD%A0%E5%A5%BD+a&x="}) == {
        "prompt": "你好 a",
        "x": "",
    }


@pytest.mark.parametrize("query", ["prompt=%ff", "prompt=\xff", "prompt=%ED%A0%80"])
def test_a_query_that_is_not_utf_8_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequestError, match="UTF-8"):
        parse_query({"QUERY_STRING": query})


def test_responses_are_utf_8_unescaped() -> None:
    response = json_response({"text": "你好"}, 201)
    assert (response.status_code, response.content_type) == (201, "application/json")
    assert response.data == '{"text":"你好"}'.encode()


def test_half_a_surrogate_pair_in_a_models_text_is_still_json() -> None:
    response = json_response({"text": "a\ud83d"})
    assert b"\\ud83d" in response.data
    with pytest.raises(TypeError):
        json_response({"text": object()})
    assert orjson.loads(json_response({"text": "\U0001f600"}).data) == {"text": "\U0001f600"}
