"""The same request twice, fifty times, and from another process: one turn, one model call."""

import contextlib
import threading

import pytest
from chat_sides import ROLE, SOON_S, kinds_of, read_all, read_until, text_of

from xwe.errors import IdempotencyClashError, LimitExceededError, ProviderError
from xwe.mock import Behaviour, Rule
from xwe.storage.repositories import characters, generations, messages

SAID = "俺老孙来也"


@pytest.fixture
def database_url(either_url):
    return either_url


def test_the_same_post_fifty_times_at_once_is_one_turn_and_one_model_call(
    side, mock_server, threads
):
    ada = side.user()
    side.chats.reply(
        ada, ROLE, "before"
    )  # from here on, no first row of the chat puts them in line
    mock_server.reset()
    mock_server.script(Behaviour(text=SAID, latency_s=0.3))
    start = threading.Barrier(50)

    def send():
        start.wait()
        return side.chats.reply(ada, ROLE, "hi", "m1")

    replies = [future.result(SOON_S) for future in [threads.submit(send) for _ in range(50)]]
    assert {(reply.text, reply.message_id) for reply in replies} == {(SAID, replies[0].message_id)}
    assert len(mock_server.requests) == 1
    assert len(side.rows(ada)) == 4


def test_different_messages_at_once_are_one_turn_and_refusals(side, mock_server, threads):
    ada = side.user()
    mock_server.script(Behaviour(text=SAID, fault="stall", after_pieces=1))
    start = threading.Barrier(20)

    def send(number):
        start.wait()
        try:
            return side.chats.say(ada, ROLE, f"hi {number}", f"m{number}")
        except Exception as error:  # noqa: BLE001 - it is what is looked at
            return error

    sent = [threads.submit(send, number) for number in range(20)]
    outcomes = [future.result(SOON_S) for future in sent]
    streams = [one for one in outcomes if not isinstance(one, Exception)]
    assert len(streams) == 1
    assert {one.code for one in outcomes if isinstance(one, Exception)} == {"generation_running"}
    assert len(side.rows(ada)) == 2
    side.chats.stop(ada, streams[0].answer_id)


def test_a_repeated_stream_is_joined_while_it_runs_and_rebuilt_afterwards(side, mock_server):
    ada = side.user()
    mock_server.script(Behaviour(text="一二三四五六", fault="stall", after_pieces=3))
    running = side.chats.say(ada, ROLE, "hi", "m1")
    assert side.chats.say(ada, ROLE, "hi", "m1") is running
    read_until(running, "一二三")
    assert len(mock_server.requests) == 1
    side.chats.stop(ada, running.answer_id)
    assert kinds_of(read_all(running))[-1] == "abort"
    mock_server.script(Behaviour(text=SAID))
    first = side.chats.say(ada, ROLE, "and now?", "m2")
    assert text_of(read_all(first)) == SAID
    asked = len(mock_server.requests)
    again = side.chats.say(ada, ROLE, "and now?", "m2")
    assert again.answer_id == first.answer_id
    assert text_of(read_all(again)) == SAID
    assert kinds_of(read_all(again))[-1] == "finish"
    assert len(mock_server.requests) == asked


def test_who_waits_for_a_turn_that_fails_gets_its_error(side, mock_server, threads, monkeypatch):
    ada = side.user()
    start, came = threading.Barrier(5), threading.Semaphore(0)
    say = side.chats._turns.say

    def say_and_tell(*said):
        opened = say(*said)
        came.release()
        return opened

    def when_all_came(_body):
        # It fails when each has found that it is being answered: who came later would ask anew.
        for _ in range(5):
            assert came.acquire(timeout=SOON_S)
        came.release(5)
        return True

    monkeypatch.setattr(side.chats._turns, "say", say_and_tell)
    mock_server.follow(Rule(when_all_came, Behaviour(fault="status", status=500)))

    def send():
        start.wait()
        side.chats.reply(ada, ROLE, "hi", "m1")

    errors = [future.exception(SOON_S) for future in [threads.submit(send) for _ in range(5)]]
    assert {error.code for error in errors} == {"provider_error"}
    assert len(mock_server.requests) == 1


def test_a_message_whose_answer_failed_is_answered_anew_in_its_place(side, mock_server):
    ada = side.user()
    mock_server.script(Behaviour(fault="status", status=500), Behaviour(text=SAID))
    with pytest.raises(ProviderError):
        side.chats.reply(ada, ROLE, "hi", "m1")
    assert side.chats.reply(ada, ROLE, "hi", "m1").text == SAID
    page = side.chats.messages(ada, ROLE)
    assert [(one.message.content, one.message.status) for one in page.messages] == [
        ("hi", "complete"),
        (SAID, "complete"),
    ]
    said = [message["content"] for message in mock_server.requests[-1].body["messages"][1:]]
    assert said == ["hi"]


def test_another_process_shares_the_reply_of_the_first(new_side, mock_server, threads):
    side, other = new_side(), new_side()
    ada = side.user()
    mock_server.script(Behaviour(text=SAID, latency_s=0.3))
    stream = side.chats.say(ada, ROLE, "hi", "m1")
    reply = other.chats.reply(ada, ROLE, "hi", "m1")
    assert (reply.text, reply.generation_id) == (SAID, stream.answer_id)
    assert len(mock_server.requests) == 1


def test_an_answer_is_followed_and_stopped_from_another_process(new_side, mock_server):
    side, other = new_side(), new_side()
    ada = side.user()
    mock_server.script(Behaviour(text="一二三四五六", fault="stall", after_pieces=3))
    stream = side.chats.say(ada, ROLE, "hi")
    read_until(stream, "一二三")
    reader = other.chats.join(ada, stream.answer_id, 57)
    assert reader.number == 0
    with contextlib.closing(reader):  # there all the time: it is not given up
        assert read_until(reader.answer, "一二三")
        other.chats.stop(ada, stream.answer_id)
        assert kinds_of(read_all(reader.answer))[-1] == "abort"
    assert kinds_of(read_all(stream))[-1] == "abort"
    assert side.statuses(ada)[1] == ("character", "cancelled", "一二三")


def test_regenerating_is_repeated_under_one_key_once(side, mock_server):
    ada = side.user()
    side.chats.reply(ada, ROLE, "hi")
    answer = side.rows(ada)[1]
    first = side.chats.regenerate(ada, ROLE, answer.id, "r1")
    read_all(first)
    assert side.chats.regenerate(ada, ROLE, answer.id, "r1").answer_id == first.answer_id
    assert len(side.rows(ada)) == 3


def test_regenerating_at_once_under_one_key_is_one_variant(side, mock_server, threads, monkeypatch):
    ada = side.user()
    answer_id = side.chats.reply(ada, ROLE, "hi").message_id
    mock_server.reset()
    mock_server.script(Behaviour(text=SAID, latency_s=0.3))
    meet_after(monkeypatch, messages, "by_client_id", 8)

    def send():
        return text_of(read_all(side.chats.regenerate(ada, ROLE, answer_id, "r1")))

    assert [future.result(SOON_S) for future in [threads.submit(send) for _ in range(8)]] == (
        [SAID] * 8
    )
    assert len(mock_server.requests) == 1
    assert len(side.rows(ada)) == 3


def test_a_variant_that_failed_is_made_anew_under_its_key_once(side, mock_server):
    ada = side.user()
    answer_id = side.chats.reply(ada, ROLE, "hi").message_id
    mock_server.reset()
    mock_server.script(Behaviour(fault="status", status=400), Behaviour(text=SAID))
    asked = [side.chats.regenerate(ada, ROLE, answer_id, "r1")]
    assert kinds_of(read_all(asked[0]))[-1] == "error"
    asked += [side.chats.regenerate(ada, ROLE, answer_id, "r1") for _ in range(2)]
    assert [text_of(read_all(stream)) for stream in asked] == ["", SAID, SAID]
    assert asked[1].answer_id == asked[2].answer_id
    assert len(mock_server.requests) == 2
    assert [(row.status, row.client_id) for row in side.rows(ada)[2:]] == [
        ("failed", None),
        ("complete", "r1"),
    ]


def test_a_key_is_for_one_thing_in_a_chat(side):
    ada = side.user()
    side.chats.reply(ada, ROLE, "hi", "m1")
    asked, answer = side.rows(ada)
    other_id = side.chats.reply(ada, ROLE, "two").message_id
    read_all(side.chats.regenerate(ada, ROLE, answer.id, "r1"))
    for attempt in (
        lambda: side.chats.say(ada, ROLE, "other", "m1"),
        lambda: side.chats.say(ada, ROLE, "hi", "r1"),
        lambda: side.chats.regenerate(ada, ROLE, asked.id, "m1"),
        lambda: side.chats.regenerate(ada, ROLE, answer.id, "m1"),
        lambda: side.chats.regenerate(ada, ROLE, other_id, "r1"),
    ):
        with pytest.raises(IdempotencyClashError):
            attempt()


def test_so_many_at_once_is_so_many_when_they_come_at_once(
    new_side, mock_server, threads, monkeypatch
):
    sides = [new_side(max_running_each=2) for _ in range(2)]
    ada = sides[0].user()
    roles = [f"c{number}" for number in range(6)]
    with sides[0].database.write() as writing:
        for role in roles:
            characters.create(writing, user_id=ada, name=role)
    mock_server.script(*[Behaviour(text=SAID, fault="stall", after_pieces=1)] * len(roles))
    meet_after(monkeypatch, generations, "running_count", len(roles))

    def send(number):
        chats = sides[number % 2].chats
        try:
            return chats, chats.say(ada, roles[number], "hi").answer_id
        except LimitExceededError:
            return None

    sent = [threads.submit(send, number) for number in range(len(roles))]
    begun = [one for one in [future.result(SOON_S) for future in sent] if one]
    assert len(begun) == 2
    assert sum(len(sides[0].rows(ada, role)) for role in roles) == 4
    for chats, stream_id in begun:
        chats.stop(ada, stream_id)


def meet_after(monkeypatch, module, name, threads):
    """Have as many threads as can be there at once come from this function together."""
    act, met = getattr(module, name), threading.Barrier(threads)

    def act_and_meet(*arguments, **options):
        result = act(*arguments, **options)
        with contextlib.suppress(threading.BrokenBarrierError):  # they come one by one
            met.wait(1.0)
        return result

    monkeypatch.setattr(module, name, act_and_meet)
