"""Which error a refusal becomes, and what the error may quote."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp.completion import CompletionRequest
from xwe.core.nlp.provider_errors import (
    QUOTED_BYTES,
    error_from_object,
    error_from_status,
    hidden_texts,
    quoted,
    retry_after_s,
)
from xwe.errors import (
    ProviderAuthError,
    ProviderBadReplyError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderStatusError,
)

KEY = "sk-canary-0123456789"
PROMPT = "The moon is made of canary feathers, says my grandmother."


def body(message="it broke", **fields):
    return orjson.dumps({"error": {"message": message, **fields}})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejectedError),
        (401, ProviderAuthError),
        (403, ProviderAuthError),
        (404, ProviderRejectedError),
        (408, ProviderStatusError),
        (409, ProviderRejectedError),
        (413, ProviderRejectedError),
        (422, ProviderRejectedError),
        (425, ProviderStatusError),
        (429, ProviderRateLimitedError),
        (500, ProviderStatusError),
        (502, ProviderStatusError),
        (503, ProviderStatusError),
        (529, ProviderStatusError),
        (302, ProviderBadReplyError),
        (308, ProviderBadReplyError),
    ],
)
def test_each_status_has_one_meaning(status, kind):
    error = error_from_status(status, {}, body())
    assert type(error) is kind
    assert getattr(error, "status", status) == status
    assert str(status) in error.message


@pytest.mark.parametrize("status", [429, 403, 400, 500])
def test_an_empty_account_is_told_from_a_limit_whatever_the_status(status):
    error = error_from_status(status, {}, body(code="insufficient_quota"))
    assert isinstance(error, ProviderRateLimitedError)
    assert error.quota_exhausted


def test_payment_required_is_an_empty_account():
    assert error_from_status(402, {}, body("Insufficient Balance")).quota_exhausted


def test_a_limit_is_not_an_empty_account():
    error = error_from_status(429, {"Retry-After": "7"}, body(type="requests"))
    assert not error.quota_exhausted
    assert error.retry_after_s == 7


def test_an_overloaded_server_says_when_to_come_back_too():
    assert error_from_status(503, {"Retry-After": "2.5"}, b"").retry_after_s == 2.5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "12"}, 12),
        ({"retry-after": "12"}, 12),
        ({"retry-after": "-3"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 60),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Thu, 99 Jan 1970 00:01:40 GMT"}, None),
    ],
)
def test_the_wait_is_read_as_seconds_or_as_a_date(headers, seconds):
    assert retry_after_s(headers, now=40.0) == seconds


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "m", "code": 429}, ProviderRateLimitedError, None),
        ({"message": "m", "code": "503"}, ProviderStatusError, 503),
        ({"message": "m", "type": "server_error"}, ProviderStatusError, 500),
        ({"message": "m", "type": "overloaded_error"}, ProviderStatusError, 529),
        ({"message": "m", "code": "invalid_api_key"}, ProviderAuthError, 401),
        ({"message": "m", "code": "context_length_exceeded"}, ProviderRejectedError, 400),
        ({"message": "m", "code": 99999}, ProviderStatusError, 500),
        ("just words", ProviderStatusError, 500),
        (7, ProviderStatusError, 500),
        ([], ProviderStatusError, 500),
    ],
)
def test_an_error_object_in_a_good_reply_means_what_its_code_says(error, kind, status):
    found = error_from_object(error)
    assert type(found) is kind
    assert getattr(found, "status", None) == status


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (body("No such model: gpt-9"), "No such model: gpt-9"),
        (b'{"error": "model not loaded"}', "model not loaded"),
        (b'{"message": "queue is full"}', "queue is full"),
        (b'{"detail": "not here"}', "not here"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required", "input": "x"}]}', "required"),
        (b"<html><head><title>504 Gateway\n Time-out</title></head>", "504 Gateway Time-out"),
        (b"upstream connect error", "upstream connect error"),
    ],
)
def test_the_providers_own_words_are_found_wherever_it_puts_them(raw, words):
    assert words in error_from_status(500, {}, raw).message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 302])
def test_neither_key_nor_prompt_is_shown_even_if_the_provider_repeats_them(status):
    request = CompletionRequest(messages=[{"role": "user", "content": PROMPT}], model="m")
    for words in (f"Bad key {KEY}", f"In {PROMPT!r}: no", f"About {PROMPT[4:40]}: no", PROMPT):
        hidden = hidden_texts(request, KEY)
        error = error_from_status(status, {}, body(words), hidden=hidden)
        assert KEY not in str(error)
        assert "canary" not in str(error)


def test_a_key_is_recognised_by_its_looks_as_well():
    shown = quoted("Incorrect API key provided: sk-proj-abc***xyz. Header was Bearer eyJhbGciOi.J9")
    assert "abc" not in shown
    assert "eyJ" not in shown


def test_texts_inside_content_parts_are_hidden_too():
    content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {}}]
    request = CompletionRequest(messages=[{"role": "user", "content": content}], model="m")
    assert list(hidden_texts(request, KEY)) == [KEY, PROMPT]


def test_messages_that_are_none_do_not_hide_the_refusal_of_them():
    request = CompletionRequest(messages=[PROMPT], model="m")
    error = error_from_status(400, {}, body(PROMPT), hidden=hidden_texts(request, KEY))
    assert isinstance(error, ProviderRejectedError)
    assert "canary" not in error.message


def test_a_word_that_the_prompt_shares_with_the_message_hides_nothing():
    request = CompletionRequest(messages=[{"role": "user", "content": "a model"}], model="m")
    error = error_from_status(404, {}, body("The model `x` does not exist"), hidden=["m"])
    assert "does not exist" in error.message
    hidden = hidden_texts(request, KEY)
    assert "`x`" in error_from_status(404, {}, body("The model `x`"), hidden=hidden).message


@given(text=st.text(max_size=2000))
def test_what_is_quoted_is_short_printable_and_one_line(text):
    shown = quoted(text)
    assert len(shown.encode("utf-8", "replace")) <= QUOTED_BYTES
    assert shown.isprintable()


@given(status=st.integers(201, 999), raw=st.binary(max_size=200))
def test_any_refusal_becomes_one_of_our_errors(status, raw):
    assert isinstance(error_from_status(status, {}, raw), ProviderError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "code", "type", "detail", "x"]), inner)
    ),
    max_leaves=6,
)


@given(error=json_values)
def test_any_error_object_becomes_one_of_our_errors(error):
    assert isinstance(error_from_object(error), ProviderError)
