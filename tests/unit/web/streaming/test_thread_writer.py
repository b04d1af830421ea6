"""How an answer is written to one client: what goes out together, and when."""

import socket

import pytest
from fed_answer import FedAnswer

from xwe.streams import ui_messages
from xwe.web.streaming.formats import EventFormat, TextFormat
from xwe.web.streaming.reader_slots import ReaderSlots
from xwe.web.streaming.thread_writer import ClientReading, ThreadWriter, WritingTimes

QUICK = WritingTimes(flush_s=0.0, heartbeat_s=0.02, check_s=0.01)


@pytest.fixture
def answer():
    answer = FedAnswer(max_bytes=1000)
    yield answer
    answer.finish()


@pytest.fixture
def slot():
    slots = ReaderSlots(1)
    yield slots.take("owner")
    assert slots.stats().running == 0


@pytest.fixture
def write(slot):
    """A writer for an answer, closed in the end as a server does."""
    writers = []

    def make(answer, after=0, *, connection=None, times=QUICK, answer_format=None, written=b""):
        reading = ClientReading(
            answer.join(after), slot, answer_format or EventFormat(), times, connection, written
        )
        writers.append(ThreadWriter(reading))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()
        writer.close()


def test_events_carry_their_numbers_and_what_is_there_goes_out_in_one_piece(answer, write):
    answer.say(b'{"a":1}')
    answer.say('{"b":"雾"}'.encode())
    writer = write(answer)
    assert next(writer).decode() == 'id: 1\ndata: {"a":1}\n\nid: 2\ndata: {"b":"雾"}\n\n'


def test_the_end_goes_out_with_the_last_event(answer, write):
    answer.say(b"1")
    answer.finish()
    assert list(write(answer)) == [b"id: 1\ndata: 1\n\ndata: [DONE]\n\n"]


def test_who_has_seen_all_of_a_finished_answer_gets_the_end_alone(answer, write):
    answer.say(b"1")
    answer.finish()
    assert list(write(answer, after=1)) == [b"data: [DONE]\n\n"]


def test_a_comment_goes_out_in_a_silence(answer, write):
    writer = write(answer)
    assert next(writer) == b": still here\n\n"
    answer.say(b"1")
    assert next(writer) == b"id: 1\ndata: 1\n\n"


def test_a_reader_that_is_too_slow_is_told_and_the_stream_ends_for_it(answer, write):
    writer = write(answer)
    answer.say(*[b"x" * 100] * 50)
    last = next(writer)
    assert b'"code":"stream_gap"' in last
    assert last.endswith(b"data: [DONE]\n\n")
    assert list(writer) == []


def test_a_client_that_left_in_silence_is_noticed_between_two_heartbeats(answer, write):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = write(answer, connection=ours, times=WritingTimes(0.0, 60.0, 0.01))
        theirs.close()
        with pytest.raises(ConnectionResetError):
            next(writer)


def test_a_client_that_is_there_is_left_alone(answer, write):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"the next request, early")
        assert next(write(answer, connection=ours)) == b": still here\n\n"


def test_a_writer_that_was_never_asked_gives_everything_back(answer, write):
    writer = write(answer)
    assert answer.readers == 1
    writer.close()
    assert answer.readers == 0


def test_text_goes_on_after_what_was_written_and_makes_no_empty_chunk(answer, write):
    answer.say(ui_messages.START_STEP, ui_messages.delta("text", "t", "b"))
    writer = write(answer, answer_format=TextFormat(), written=b"a")
    assert next(writer) == b"a"
    assert next(writer) == b"b"
    answer.say(ui_messages.FINISH_STEP)
    answer.finish()
    assert list(writer) == []


@pytest.mark.parametrize("last", [ui_messages.SHUTDOWN, ui_messages.event("error")])
def test_text_has_no_word_for_an_error_and_is_cut_off(answer, write, last):
    """With an exception that servers take for a lost connection: no proper end is written."""
    answer.say(ui_messages.delta("text", "t", "a"), last)
    answer.finish()
    writer = write(answer, answer_format=TextFormat())
    assert next(writer) == b"a"
    with pytest.raises(ConnectionResetError) as cut:
        next(writer)
    assert cut.value.errno is not None
