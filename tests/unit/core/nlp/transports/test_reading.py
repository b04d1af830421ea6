"""How a streamed body is read and its end judged, without any network."""

import orjson
import pytest

from xwe.core.nlp.completion import Delta, Usage
from xwe.core.nlp.transports.reading import DeltaReader, WholeBody
from xwe.core.nlp.wire import MAX_BODY_BYTES
from xwe.errors import (
    ProviderBadReplyError,
    ProviderStatusError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    StreamInterruptedError,
)

SSE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 1, "completion_tokens": 2}


def piece(text="", finish=None, **fields):
    choice = {"delta": {"content": text}, "finish_reason": finish}
    return b"data: " + orjson.dumps({"choices": [choice], **fields}) + b"\n\n"


def read(*chunks, content_type=SSE):
    reader = DeltaReader(content_type)
    deltas = [delta for chunk in chunks for delta in reader.feed(chunk)]
    return reader, deltas


def failure(reader):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
        reader.raise_failure()
    return caught.value


def test_a_stream_that_says_it_is_done_is_done():
    reader, deltas = read(piece("a"), piece(finish="stop"), DONE)
    assert deltas == [Delta("a"), Delta(finish_reason="stop")]
    assert reader.done
    reader.raise_failure()


def test_the_usage_behind_the_finish_is_waited_for_and_ends_the_stream():
    reader, _ = read(piece("a"), piece(finish="stop"))
    assert not reader.done
    deltas = reader.feed(b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n\n')
    assert deltas == [Delta(usage=Usage(1, 0, 1))]
    assert reader.done


def test_a_finish_with_its_usage_needs_no_done():
    reader, _ = read(piece("a", finish="stop", usage=USAGE))
    assert reader.done
    reader.raise_failure()


def test_running_usage_before_the_finish_does_not_end_the_stream():
    reader, deltas = read(piece("a", usage=USAGE), piece("b", usage=USAGE))
    assert len(deltas) == 2
    assert not reader.done


@pytest.mark.parametrize("end", [b"", DONE])
def test_a_stream_that_ends_after_its_finish_is_whole(end):
    reader, _ = read(piece("a", finish="stop"), end)
    reader.raise_failure()
    assert reader.done


@pytest.mark.parametrize("end", [b"", DONE])
def test_a_stream_that_ends_without_a_finish_was_cut_off(end):
    reader, deltas = read(piece("a"), end)
    error = failure(reader)
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "truncated"
    assert deltas == [Delta("a")]


@pytest.mark.parametrize("chunks", [[b""], [b": hello\n\n", b""], [DONE]])
def test_a_stream_that_ends_before_it_said_anything_is_a_bad_reply(chunks):
    assert isinstance(failure(read(*chunks)[0]), ProviderBadReplyError)


def test_what_came_before_an_error_event_is_delivered_before_the_error():
    error_event = b'data: {"error": {"message": "overloaded", "code": 529}}\n\n'
    reader, deltas = read(piece("a") + error_event + piece("b"))
    assert deltas == [Delta("a")]
    error = failure(reader)
    assert isinstance(error, StreamInterruptedError)
    assert error.reason == "error"
    assert isinstance(error.__cause__, ProviderStatusError)


def test_an_error_event_before_anything_else_is_that_error():
    reader, _ = read(b'data: {"error": {"message": "overloaded", "code": 529}}\n\n')
    assert failure(reader).status == 529


def test_a_piece_that_cannot_be_read_interrupts():
    reader, deltas = read(piece("a"), b"data: {half\n\n")
    assert deltas == [Delta("a")]
    assert isinstance(failure(reader).__cause__, ProviderBadReplyError)


def test_a_break_after_the_finish_is_no_failure():
    reader, _ = read(piece("a", finish="stop"))
    reader.fail(ProviderUnreachableError(), "reset")
    reader.raise_failure()
    assert reader.done


def test_a_break_is_told_as_it_is_before_the_first_piece_and_as_an_interruption_after_it():
    cause = OSError()
    before, _ = read(b": hello\n\n")
    before.fail(ProviderTimeoutError("slow"), "idle", cause)
    assert isinstance(failure(before), ProviderTimeoutError)
    assert failure(before).__cause__ is cause
    after, _ = read(piece("a"))
    after.fail(ProviderTimeoutError("slow"), "idle", cause)
    assert failure(after).reason == "idle"
    assert "slow" in failure(after).message


def test_what_comes_after_a_failure_is_not_read_any_more():
    reader, _ = read(piece("a"))
    reader.fail(ProviderTimeoutError("slow"), "idle")
    assert reader.feed(piece("b")) == []
    assert reader.feed(b"") == []
    assert failure(reader).reason == "idle"


def test_a_stream_that_never_ends_is_cut_at_the_limit():
    reader, _ = read(piece("a"))
    comment = b": " + b"x" * 1_000_000 + b"\n"
    fed = 0
    while not reader.done:
        reader.feed(comment)
        fed += len(comment)
    assert failure(reader).reason == "too_large"
    assert fed <= MAX_BODY_BYTES + len(comment)


def test_a_line_that_is_too_long_is_a_bad_reply_before_the_first_piece():
    reader, _ = read(b"data: " + b"x" * 1_100_000)
    assert isinstance(failure(reader), ProviderBadReplyError)
    reader, _ = read(piece("a"), b"data: " + b"x" * 1_100_000)
    assert failure(reader).reason == "too_large"


def test_heartbeats_with_empty_data_are_nothing():
    reader, deltas = read(piece("a"), b"data:\n\n", b"data: \n\n")
    assert deltas == [Delta("a")]
    assert not reader.done


# --- replies that are not labelled as streams ---

WHOLE = orjson.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
)


@pytest.mark.parametrize("chunks", [[WHOLE], [WHOLE[:9], WHOLE[9:]], [b"\n\n", b" ", WHOLE]])
def test_a_server_that_does_not_stream_gives_one_piece(chunks):
    reader, deltas = read(*chunks, b"", content_type="application/json")
    assert deltas == [Delta("hi", finish_reason="stop")]
    assert reader.done
    reader.raise_failure()


def test_a_whole_reply_without_a_finish_reason_is_finished_all_the_same():
    raw = b'{"choices": [{"message": {"content": "hi"}}]}'
    assert read(raw, b"", content_type="")[1] == [Delta("hi", finish_reason="stop")]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json"])
def test_a_stream_under_a_wrong_label_is_read_as_one(content_type):
    chunks = [b"da", b"ta: " + piece("a")[6:], piece(finish="stop"), DONE]
    reader, deltas = read(*chunks, content_type=content_type)
    assert deltas == [Delta("a"), Delta(finish_reason="stop")]
    assert reader.done


@pytest.mark.parametrize(
    "chunks", [[b"<html>", b"</html>", b""], [b'{"half', b""], [b""], [b"no idea", b""]]
)
def test_a_page_or_half_a_reply_is_a_bad_reply(chunks):
    reader, _ = read(*chunks, content_type="text/html")
    assert isinstance(failure(reader), ProviderBadReplyError)


def test_a_refusal_under_status_200_is_that_refusal():
    reader, _ = read(b'{"error": {"code": 503}}', b"", content_type="application/json")
    assert failure(reader).status == 503


def test_a_whole_body_is_taken_up_to_the_limit():
    body = WholeBody()
    half = b"x" * (MAX_BODY_BYTES // 2)
    body.add(half)
    body.add(half)
    assert len(body.joined()) == MAX_BODY_BYTES
    with pytest.raises(ProviderBadReplyError, match="16 MB"):
        body.add(b"x")
