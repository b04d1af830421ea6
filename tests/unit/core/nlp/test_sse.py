"""However a stream is cut, the decoder yields what the specification says."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp.sse import SSEDecoder
from xwe.errors import StreamInterruptedError


def decode(*chunks: bytes) -> list[bytes]:
    decoder = SSEDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def by_the_book(stream: bytes) -> list[bytes]:
    """The specification's algorithm, written down literally."""
    events, data = [], []
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        if not line:
            if data:
                events.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return events


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


lines = st.one_of(
    st.sampled_from(
        [b"data", b"data:", b"data: ", b"data:  two spaces", b": ping", b"event: x", b"id: 7"]
    ),
    st.sampled_from([b"retry: 10", b"database: no", b"datax", b"data: [DONE]", b"", b"", b""]),
    st.text(max_size=8).map(
        lambda text: b"data: " + re.sub(rb"[\r\n]", b"", text.encode("utf-8", "replace"))
    ),
    st.binary(max_size=6).map(lambda raw: b"data:" + re.sub(rb"[\r\n]", b"", raw)),
)
streams = st.builds(
    lambda start, parts: start + b"".join(line + end for line, end in parts),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20),
)


@given(stream=streams, places=st.lists(st.integers(0, 400), max_size=8))
def test_any_chunking_of_any_stream_gives_the_events_of_the_specification(stream, places):
    assert decode(*cut(stream, places)) == by_the_book(stream)


@given(stream=streams)
def test_a_stream_that_comes_byte_by_byte_gives_the_same_events(stream):
    assert decode(*(bytes([byte]) for byte in stream)) == by_the_book(stream)


@given(
    texts=st.lists(st.text(min_size=1, max_size=5).map(lambda t: t.encode()), max_size=6),
    places=st.lists(st.integers(0, 200), max_size=6),
)
def test_the_fast_way_and_the_slow_way_agree(texts, places):
    events = [re.sub(rb"[\r\n]", b"", text) for text in texts]
    stream = b"".join(b"data: " + event + b"\n\n" for event in events)
    assert decode(b": start\n\n", *cut(stream, places)) == events


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_kind_of_line_end_ends_a_line(end):
    assert decode(b"data: a" + end + b"data: b" + end + end + b"data: c" + end + end) == [
        b"a\nb",
        b"c",
    ]


@pytest.mark.parametrize("end", [b"\r", b"\r\r", b"\r\n"])
def test_a_chunk_that_looks_like_one_event_is_searched_for_other_line_ends(end):
    stream = b"data: a" + end + b"data: b\n\n"
    assert decode(b"\n", stream) == by_the_book(stream)


def test_a_cr_at_a_chunks_end_completes_the_event_without_waiting_for_its_lf():
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [b"a"]
    assert decoder.feed(b"\ndata: b\r\n\r\n") == [b"b"]


def test_a_character_cut_in_two_comes_out_whole():
    raw = "data: 你好🌍\n\n".encode()
    for place in range(len(raw)):
        assert decode(raw[:place], raw[place:]) == ["你好🌍".encode()]


def test_a_byte_order_mark_is_dropped_at_the_start_and_nowhere_else():
    bom = b"\xef\xbb\xbf"
    assert decode(bom[:1], bom[1:] + b"data: a\n\n" + b"data: " + bom + b"\n\n") == [b"a", bom]


def test_comments_and_events_without_data_give_nothing():
    assert decode(b": keep-alive\n\nevent: ping\n\nid: 1\nretry: 5\n\n\n\n") == []


def test_an_event_that_the_streams_end_cuts_off_is_not_given():
    assert decode(b"data: whole\n\n", b"data: half\n") == [b"whole"]


def test_many_events_in_one_chunk_all_come():
    events = [b'{"n": %d}' % number for number in range(1000)]
    stream = b"".join(b"data: " + event + b"\n\n" for event in events)
    assert decode(b"\n", stream) == events


def test_the_longest_line_allowed_passes_and_one_byte_more_does_not():
    line = b"data: " + b"x" * 94
    assert SSEDecoder(max_line_bytes=100).feed(line + b"\n\n") == [b"x" * 94]
    with pytest.raises(StreamInterruptedError) as caught:
        SSEDecoder(max_line_bytes=100).feed(line + b"x\n\n")
    assert caught.value.reason == "too_large"


def test_a_line_without_an_end_is_given_up_as_soon_as_it_is_too_long():
    decoder = SSEDecoder(max_line_bytes=1000)
    for _ in range(10):
        assert decoder.feed(b"x" * 100) == []
    with pytest.raises(StreamInterruptedError):
        decoder.feed(b"x")


def test_the_limit_also_holds_for_events_that_come_whole_in_one_chunk():
    decoder = SSEDecoder(max_line_bytes=100)
    assert decoder.feed(b"data: a\n\n") == [b"a"]
    with pytest.raises(StreamInterruptedError):
        decoder.feed(b"data: " + b"x" * 200 + b"\n\n")


def test_a_long_line_in_tiny_chunks_costs_no_more_than_its_length():
    decoder = SSEDecoder()
    held = []
    for _ in range(20_000):
        decoder.feed(b"x")
        held.append(len(decoder._line))
    # Joining at every chunk would leave one piece, and copy 200 MB.
    assert held[-1] == 20_000
