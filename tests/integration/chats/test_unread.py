"""Where an answer that nobody reads is ended: who waits for it reads it, and who follows it too."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from chat_sides import QUICK, ROLE, SOON_S, kinds_of, read_all, read_until

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.mock import Behaviour
from xwe.storage.repositories import generations
from xwe.streams.answers import AnswerLimits, Answers

ALONE_S = 0.01
SAID = "俺老孙来也"
STALLED = Behaviour(text="一二三四五六", fault="stall", after_pieces=3)
# Its word that it is read holds for longer than any test.
LASTING = replace(QUICK, read_s=600.0)


def answers(alone_s):
    return Answers(AnswerLimits(on_disconnect="cancel", alone_s=alone_s))


def leave_it_alone(answer):
    """From now on the answer ends at once without a reader."""
    answer.unread_s = ALONE_S


def let_time_pass():
    get_loop_thread().run(asyncio.sleep(ALONE_S * 30))  # the time is the subject


def wait_for_readers(stream, count):
    async def come():
        while stream.readers != count:  # noqa: ASYNC110 - nothing in it tells of that
            await asyncio.sleep(0.005)

    get_loop_thread().run(come(), SOON_S)


def test_who_waits_for_a_whole_answer_is_its_reader(new_side, mock_server):
    side = new_side(answers=answers(ALONE_S))
    ada = side.user()
    mock_server.script(Behaviour(text=SAID, latency_s=ALONE_S * 30))
    reply = side.chats.reply(ada, ROLE, "hi")
    assert (reply.text, reply.status) == (SAID, "complete")


def test_who_waits_for_the_answer_to_a_request_sent_before_is_its_reader(
    new_side, mock_server, threads
):
    side = new_side(answers=answers(SOON_S))
    ada = side.user()
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "hi", "m1")
    with contextlib.closing(stream.join()):
        waiting = threads.submit(side.chats.reply, ada, ROLE, "hi", "m1")
        wait_for_readers(stream, 2)
        leave_it_alone(stream)
    let_time_pass()
    assert not stream.is_ended
    side.chats.stop(ada, stream.answer_id)
    assert waiting.result(SOON_S).status == "cancelled"


@pytest.fixture
def followed(new_side, mock_server):
    """Two processes' sides and an answer that one makes, and that is read through the other."""

    def follow(times):
        maker = new_side(times=times, answers=answers(SOON_S))
        other = new_side(times=times, answers=answers(SOON_S))
        ada = maker.user()
        mock_server.script(STALLED)
        made = maker.chats.say(ada, ROLE, "hi")
        with contextlib.closing(made.join()):
            reader = other.chats.join(ada, made.answer_id)
            read_until(reader.answer, "一二三")
            wait_for_readers(made, 2)
            leave_it_alone(made)
        return maker, ada, made, reader

    return follow


def test_an_answer_that_is_read_through_another_process_goes_on(followed):
    maker, ada, made, reader = followed(LASTING)
    with contextlib.closing(reader):
        let_time_pass()
        assert (made.is_ended, made.readers) == (False, 1)
        maker.chats.stop(ada, made.answer_id)
        assert kinds_of(read_all(reader.answer))[-1] == "abort"
    assert made.readers == 0


def test_an_answer_that_nobody_reads_in_any_process_is_ended(followed):
    maker, ada, made, reader = followed(replace(QUICK, read_s=0.5))
    reader.close()
    wait_for_readers(made, 0)
    let_time_pass()
    assert kinds_of(read_all(made))[-1] == "abort"
    assert maker.statuses(ada)[1] == ("character", "cancelled", "一二三")


def test_where_answers_go_on_unread_nothing_is_written_about_readers(
    new_side, mock_server, monkeypatch
):
    written = []
    monkeypatch.setattr(generations, "keep_read", lambda *_arguments: written.append(1))
    maker, other = new_side(times=LASTING), new_side(times=LASTING)
    ada = maker.user()
    mock_server.script(STALLED)
    made = maker.chats.say(ada, ROLE, "hi")
    with contextlib.closing(other.chats.join(ada, made.answer_id)) as reader:
        read_until(reader.answer, "一二三")
        maker.chats.stop(ada, made.answer_id)
        assert kinds_of(read_all(reader.answer))[-1] == "abort"
    assert written == []
