"""Server-sent events of plain text."""

import pytest
from event_source import EventSource

from xwe.errors import XweError
from xwe.streams import ui_messages
from xwe.web.streaming.formats import PlainEventFormat, parse_last_event_id

START = ui_messages.start("g")
# Every line end next to every other one, and at both ends.
LINES = "\na\r\n\r\n\n\rb\r\r\n\n\nc\r"


def delta(text):
    return ui_messages.delta("text", "text-1", text)


def pieces(plain, *texts):
    """What a reader has of them, each in a write of its own."""
    source = EventSource()
    source.feed(plain.encode(1, [START], is_last=False))
    for text in texts:
        source.feed(plain.encode(1, [delta(text)], is_last=False))
    source.feed(plain.encode(1, [], is_last=True))
    return source


def with_one_line_end(text):
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_the_number_comes_before_anything_else_and_once():
    plain = PlainEventFormat("g")
    assert plain.encode(1, [START, ui_messages.START_STEP], is_last=False) == b"id: g:0\n\n"
    assert plain.encode(3, [START], is_last=False) == b""


def test_a_reader_that_comes_back_keeps_its_number():
    source = EventSource()
    source.feed(PlainEventFormat("g", skip=3).encode(1, [START], is_last=False))
    assert (source.last_event_id, source.events) == ("g:3", [])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one", b"data: one\n"),
        ("one\ntwo", b"data: one\ndata: two\n"),
        ("\n\n", b"data: \ndata: \ndata: \n"),
        ("a\r\nb\rc", b"data: a\ndata: b\ndata: c\n"),
        ("data: x\n\nevent: y", b"data: data: x\ndata: \ndata: event: y\n"),
    ],
)
def test_no_line_end_of_the_text_ends_an_event(text, lines):
    body = PlainEventFormat("g").encode(1, [delta(text)], is_last=False)
    assert body == b"id: g:0\n\nid: g:%d\n%b\n" % (len(text), lines)


def test_each_number_is_how_much_has_come():
    plain = PlainEventFormat("g")
    assert plain.encode(1, [delta("你"), delta("好")], is_last=False).endswith(
        "id: g:2\ndata: 你好\n\n".encode()
    )
    assert plain.encode(3, [delta("吗")], is_last=True) == (
        "id: g:3\ndata: 吗\n\nid: g:3\nevent: done\ndata: [DONE]\n\n".encode()
    )


def test_what_was_read_is_not_sent_again_however_the_pieces_are_cut():
    plain = PlainEventFormat("g", skip=3)
    assert plain.encode(1, [delta("ab")], is_last=False) == b"id: g:3\n\n"
    assert plain.encode(2, [delta("cd")], is_last=False) == b"id: g:4\ndata: d\n\n"
    assert plain.encode(3, [delta("e")], is_last=False) == b"id: g:5\ndata: e\n\n"


@pytest.mark.parametrize("cut", range(len(LINES) + 1))
def test_a_line_end_is_one_wherever_the_pieces_are_cut(cut):
    source = pieces(PlainEventFormat("g"), LINES[:cut], LINES[cut:])
    assert source.text == with_one_line_end(LINES)
    assert source.last_event_id == f"g:{len(LINES)}"


def test_a_line_end_is_one_when_every_character_comes_alone():
    source = pieces(PlainEventFormat("g"), *LINES)
    assert source.text == with_one_line_end(LINES)


@pytest.mark.parametrize("size", [1, 2, 3, len(LINES)])
@pytest.mark.parametrize("read", range(len(LINES) + 1))
def test_a_line_end_is_one_wherever_a_reader_comes_back(read, size):
    cut = [LINES[begin : begin + size] for begin in range(0, len(LINES), size)]
    source = pieces(PlainEventFormat("g", read), *cut)
    assert with_one_line_end(LINES[:read]) + source.text == with_one_line_end(LINES)
    assert source.last_event_id == f"g:{len(LINES)}"


def test_an_error_is_an_event_of_its_own_and_leaves_the_number():
    source = EventSource()
    source.feed(PlainEventFormat("g").encode(1, [ui_messages.error(XweError())], is_last=True))
    assert source.kinds == ["error", "done"]
    assert source.events[0].data.startswith('{"type":"error"')
    assert [event.last_event_id for event in source.events] == ["g:0", "g:0"]


def test_a_server_that_shuts_down_does_not_say_done():
    """The browser connects again then, and goes on in another process."""
    source = EventSource()
    plain = PlainEventFormat("g")
    source.feed(plain.encode(1, [START, delta("half")], is_last=False))
    source.feed(plain.encode(3, [ui_messages.SHUTDOWN], is_last=True))
    assert (source.text, source.kinds, source.last_event_id) == ("half", ["message"], "g:4")


@pytest.mark.parametrize(
    ("number", "parsed"),
    [
        ("g:12", ("g", 12)),
        ("a:b:0", ("a:b", 0)),
        ("", None),
        ("12", None),
        ("g:x", None),
        ("g:", None),
    ],
)
def test_numbers_are_read_back(number, parsed):
    assert parse_last_event_id(number) == parsed
