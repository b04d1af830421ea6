"""The loop as a writer: who reads slowly gets all of it, who reads nothing is cut off."""

import queue
import socket

import pytest
from fed_answer import FedAnswer

from xwe.streams import ui_messages
from xwe.web.streaming.formats import EventFormat, TextFormat
from xwe.web.streaming.loop_writer import LoopWriter
from xwe.web.streaming.reader_slots import ReaderSlots
from xwe.web.streaming.socket_handoff import HandedOff, HandoffSocket
from xwe.web.streaming.thread_writer import ClientReading, WritingTimes

# More than the two sockets hold.
LONG = b"x" * 2_000_000


@pytest.fixture
def line():
    """A client's end and the server's, which can be handed off."""
    client, accepted = socket.socketpair()
    server = HandoffSocket(fileno=accepted.detach())
    server.send_timeout_s = 60.0
    client.settimeout(60)
    with client, server:
        yield client, server


@pytest.fixture
def answer():
    answer = FedAnswer()
    yield answer
    answer.finish()


@pytest.fixture
def hand_off(line, answer):
    """Hands the server's end off; a queue of what `hand_back` is called with."""
    slots = ReaderSlots(1)
    slot = slots.take("owner")

    def make(heartbeat_s=15.0, answer_format=None, written=b""):
        handed_back = queue.SimpleQueue()
        times = WritingTimes(0.0, heartbeat_s)
        reading = ClientReading(
            answer.join(), slot, answer_format or EventFormat(), times, line[1], written
        )
        writer = LoopWriter(reading, line[1])
        assert next(writer) == written
        with pytest.raises(HandedOff):
            next(writer)
        writer.close()
        assert answer.readers == 1
        assert line[1].receiver is writer
        writer.begin(handed_back.put)
        return handed_back

    yield make
    assert answer.readers == 0
    assert slots.stats().running == 0


def received(line):
    """All that the client gets until the server's end is closed."""
    return b"".join(iter(lambda: line[0].recv(1_000_000), b""))


def test_a_slow_reader_gets_all_of_it(line, answer, hand_off):
    answer.say(LONG)
    answer.finish()
    handed_back = hand_off()
    got = b""
    while not got.endswith(b"\r\n0\r\n\r\n"):
        got += line[0].recv(50_000)
    assert handed_back.get(timeout=60) is True
    assert LONG in got
    assert handed_back.empty()


def test_one_that_takes_nothing_is_cut_off_at_the_send_timeout(line, answer, hand_off):
    line[1].send_timeout_s = 0.2
    answer.say(LONG)
    assert hand_off().get(timeout=60) is False
    line[1].close()
    assert not received(line).endswith(b"0\r\n\r\n")


def test_one_that_leaves_is_noticed_without_anything_to_write(line, answer, hand_off):
    handed_back = hand_off()
    line[0].close()
    assert handed_back.get(timeout=60) is False
    answer.say(b"1")


def test_silence_is_bridged_by_comments_and_events_still_come(line, answer, hand_off):
    handed_back = hand_off(heartbeat_s=0.05)
    comment = b"E\r\n: still here\n\n\r\n"
    assert line[0].recv(len(comment)) == comment
    answer.say(b"1")
    answer.finish()
    got = b""
    while not got.endswith(b"\r\n0\r\n\r\n"):
        got += line[0].recv(1000)
    assert b"id: 1\ndata: 1\n\n" in got
    assert b"data: [DONE]\n\n" in got
    assert handed_back.get(timeout=60) is True


def test_text_goes_on_after_what_the_thread_has_written(line, answer, hand_off):
    """Events without text make no chunk: an empty one would end the body."""
    answer.say(ui_messages.START_STEP, ui_messages.delta("text", "t", "好"))
    handed_back = hand_off(answer_format=TextFormat(), heartbeat_s=0.01)
    assert line[0].recv(1000) == b"3\r\n" + "好".encode() + b"\r\n"
    answer.say(ui_messages.FINISH_STEP)
    answer.finish()
    assert handed_back.get(timeout=60) is True
    line[1].close()
    assert received(line) == b"0\r\n\r\n"


def test_an_error_cuts_the_text_off_without_a_proper_end(line, answer, hand_off):
    handed_back = hand_off(answer_format=TextFormat())
    answer.say(ui_messages.delta("text", "t", "a"), ui_messages.SHUTDOWN)
    answer.finish()
    assert handed_back.get(timeout=60) is False
    line[1].close()
    assert received(line) == b"1\r\na\r\n"
