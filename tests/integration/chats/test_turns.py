"""A stored turn: what is kept of it, however it ends."""

import threading
from datetime import timedelta

import pytest
from chat_sides import ROLE, SOON_S, kinds_of, read_all, read_until, text_of

from xwe.core.concurrency.loop_thread import get_loop_thread
from xwe.errors import (
    DatabaseUnavailableError,
    GenerationRunningError,
    IdempotencyClashError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    ProviderAuthError,
    ProviderStatusError,
    SaturatedError,
    StreamInterruptedError,
)
from xwe.mock import Behaviour
from xwe.storage.repositories import characters, generations, messages
from xwe.storage.rows import now
from xwe.streams.answer import Answer
from xwe.streams.answers import AnswerLimits, Answers

SAID = "俺老孙来也"
STALLED = Behaviour(text="一二三四五六", fault="stall", after_pieces=3)


def test_a_turn_is_two_rows_and_its_end_is_stored_before_it_is_told(side, mock_server):
    ada = side.user()
    mock_server.script(Behaviour(text=SAID))
    stream = side.chats.say(ada, ROLE, "你是谁")
    seen = []
    reader = stream.join(0)
    while b'"finish"' not in b"".join(seen):
        seen += reader.drain(SOON_S)
    reader.close()
    assert side.statuses(ada) == [("user", "complete", "你是谁"), ("character", "complete", SAID)]
    assert side.generation(ada, stream.answer_id).status == "complete"
    assert side.rows(ada)[1].usage["completion_tokens"] > 0


def test_the_users_message_is_stored_before_the_model_is_asked(side, mock_server):
    ada = side.user()
    mock_server.script(Behaviour(fault="no_headers"))
    stream = side.chats.say(ada, ROLE, "hi")
    mock_server.wait_until(lambda: mock_server.requests, SOON_S)
    assert side.statuses(ada) == [("user", "complete", "hi"), ("character", "streaming", "")]
    side.chats.stop(ada, stream.answer_id)


def test_whole_and_streamed_turns_make_the_same_rows(side, mock_server):
    ada = side.user()
    mock_server.script(Behaviour(text=SAID), Behaviour(text=SAID))
    reply = side.chats.reply(ada, ROLE, "one")
    assert (reply.text, reply.status) == (SAID, "complete")
    assert reply.timings.total_s > 0
    assert text_of(read_all(side.chats.say(ada, ROLE, "two"))) == SAID
    assert [row.status for row in side.rows(ada)] == ["complete"] * 4
    assert side.rows(ada)[1].id == reply.message_id


def test_the_prompt_is_the_persona_and_what_was_said_before(side, mock_server):
    ada = side.user(first_message="何方妖怪？", profile={"基础身份信息": {"职业": "行者"}})
    side.chats.reply(ada, ROLE, "one")
    side.chats.reply(ada, ROLE, "two")
    system, *said = mock_server.requests[-1].body["messages"]
    assert ROLE in system["content"]
    assert "行者" in system["content"]
    assert [message["role"] for message in said] == ["assistant", "user", "assistant", "user"]
    assert said[0]["content"] == "何方妖怪？"
    assert said[-1]["content"] == "two"


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour(fault="status", status=500), ProviderStatusError),
        (Behaviour(fault="status", status=401), ProviderAuthError),
    ],
    ids=["500", "401"],
)
def test_an_error_is_a_failed_row_and_never_content(side, mock_server, behaviour, error):
    ada = side.user()
    mock_server.script(behaviour, behaviour)
    with pytest.raises(error):
        side.chats.reply(ada, ROLE, "one")
    events = read_all(side.chats.say(ada, ROLE, "two"))
    assert events[-1]["type"] == "error"
    assert events[-1]["code"] == error.code
    answers = [row for row in side.rows(ada) if row.sender_type == "character"]
    assert [(row.status, row.content, row.error_code) for row in answers] == [
        ("failed", "", error.code)
    ] * 2


@pytest.mark.parametrize("fault", ["reset", "truncate", "no_finish_reason", "malformed_json"])
def test_a_stream_that_breaks_is_partial_and_keeps_its_text(side, mock_server, fault):
    ada = side.user()
    mock_server.script(Behaviour(text="一二三四五六", fault=fault, after_pieces=3))
    events = read_all(side.chats.say(ada, ROLE, "hi"))
    assert events[-1]["type"] == "error"
    answer = side.rows(ada)[1]
    assert answer.status == "partial"
    assert answer.content == text_of(events)
    assert answer.content
    assert answer.error_code == events[-1]["code"]


def test_a_stalled_stream_is_partial_after_the_idle_limit(new_side, mock_server):
    side = new_side(idle_s=3.0)  # within which a busy machine, too, gets from piece to piece
    ada = side.user()
    mock_server.script(STALLED)
    events = read_all(side.chats.say(ada, ROLE, "hi"))
    assert events[-1]["code"] == StreamInterruptedError.code
    assert side.statuses(ada)[1] == ("character", "partial", "一二三")


def test_stop_keeps_the_text_and_frees_the_conversation(side, mock_server):
    ada = side.user()
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "hi")
    read_until(stream, "一二三")
    side.chats.stop(ada, stream.answer_id)
    assert side.statuses(ada)[1] == ("character", "cancelled", "一二三")
    assert kinds_of(read_all(stream))[-1] == "abort"
    mock_server.wait_until(lambda: mock_server.requests[-1].disconnected, SOON_S)
    assert side.chats.reply(ada, ROLE, "and now?").status == "complete"


def test_an_answer_that_is_stopped_before_its_first_word_is_ended_all_the_same(side, monkeypatch):
    ada = side.user()
    start = Answer.start

    def start_and_stop(answer, *arguments):
        async def on_the_loop():  # where nothing of the answer can happen between the two
            start(answer, *arguments).end()
            return answer

        return get_loop_thread().run(on_the_loop())

    monkeypatch.setattr(Answer, "start", start_and_stop)
    assert side.chats.say(ada, ROLE, "hi").wait(SOON_S)
    assert side.rows(ada)[1].status == "cancelled"


def test_one_conversation_has_one_answer_at_a_time(side, mock_server):
    ada = side.user()
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "one")
    with pytest.raises(GenerationRunningError):
        side.chats.say(ada, ROLE, "two")
    assert len(side.rows(ada)) == 2
    side.chats.stop(ada, stream.answer_id)


def test_two_characters_answer_at_once(side, mock_server):
    ada = side.user()
    grace = side.user("grace")
    mock_server.script(STALLED, Behaviour(text=SAID))
    stream = side.chats.say(ada, ROLE, "one")
    # The first of the script is for this one.
    mock_server.wait_until(lambda: mock_server.requests, SOON_S)
    assert side.chats.reply(grace, ROLE, "two").text == SAID
    side.chats.stop(ada, stream.answer_id)


def test_what_is_not_there_or_not_yours_is_not_found(side, mock_server):
    ada, grace = side.user(), side.user("grace", role="福尔摩斯")
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "hi")
    answer = side.rows(ada)[1]
    for attempt in (
        lambda: side.chats.say(grace, ROLE, "hi"),
        lambda: side.chats.messages(grace, ROLE),
        lambda: side.chats.join(grace, stream.answer_id),
        lambda: side.chats.stop(grace, stream.answer_id),
        lambda: side.chats.stop(ada, "nothing"),
        lambda: side.chats.regenerate(grace, ROLE, answer.id),
        lambda: side.chats.regenerate(grace, "福尔摩斯", answer.id),
        lambda: side.chats.select_variant(grace, ROLE, answer.id),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    assert side.rows(ada)[1].status == "streaming"
    side.chats.stop(ada, stream.answer_id)


def test_a_user_has_so_many_answers_at_once_and_nothing_is_stored_of_more(new_side, mock_server):
    side = new_side(max_running_each=1)
    ada = side.user()
    with side.database.write() as writing:
        characters.create(writing, user_id=ada, name="二")
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "one")
    with pytest.raises(LimitExceededError):
        side.chats.say(ada, "二", "two")
    assert side.rows(ada, "二") == []
    side.chats.stop(ada, stream.answer_id)


def test_a_full_server_stores_nothing_and_the_same_message_may_be_sent_again(new_side, mock_server):
    side = new_side(answers=Answers(AnswerLimits(max_running=1)))
    ada, grace = side.user(), side.user("grace")
    mock_server.script(STALLED, Behaviour(text=SAID))
    stream = side.chats.say(ada, ROLE, "one")
    read_until(stream, "一二三")  # so that this one, and no other, is asked that
    with pytest.raises(SaturatedError):
        side.chats.reply(grace, ROLE, "two", "m1")
    assert side.rows(grace) == []
    side.chats.stop(ada, stream.answer_id)
    read_all(stream)
    side.wait_until_free()
    assert side.chats.reply(grace, ROLE, "two", "m1").text == SAID
    shown = side.chats.messages(grace, ROLE).messages
    assert [one.message.content for one in shown] == ["two", SAID]


def test_an_answer_of_another_kind_leaves_no_room_and_nothing_is_stored(new_side, mock_server):
    side = new_side(answers=Answers(AnswerLimits(max_running_each=1)))
    ada = side.user()
    side.chats.reply(ada, ROLE, "one")
    side.wait_until_free()
    before = side.statuses(ada)
    with side.answers.reserve(str(ada), "of the playground"):
        for attempt in (
            lambda: side.chats.say(ada, ROLE, "two"),
            lambda: side.chats.reply(ada, ROLE, "two", "m2"),
            lambda: side.chats.regenerate(ada, ROLE, side.rows(ada)[1].id),
        ):
            with pytest.raises(LimitExceededError):
                attempt()
        assert side.statuses(ada) == before
        assert len(mock_server.requests) == 1
    assert side.chats.reply(ada, ROLE, "two", "m2").status == "complete"


def test_what_came_before_needs_no_room(new_side, mock_server):
    side = new_side(answers=Answers(AnswerLimits(max_running=1)), max_running_each=1)
    ada = side.user()
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "one", "m1")
    assert side.chats.say(ada, ROLE, "one", "m1") is stream
    assert side.chats.say_or_join(ada, ROLE, "one") is stream
    side.chats.stop(ada, stream.answer_id)


def test_a_place_is_given_back_when_the_turn_cannot_be_stored(side, monkeypatch):
    ada = side.user()
    monkeypatch.setattr(messages, "append", unavailable)
    with pytest.raises(DatabaseUnavailableError):
        side.chats.say(ada, ROLE, "hi")
    assert side.answers.running == 0
    assert side.rows(ada) == []


def unavailable(*_arguments, **_options):
    raise DatabaseUnavailableError


def test_a_model_that_cannot_be_asked_leaves_a_failed_answer_and_no_place_taken(side, monkeypatch):
    ada = side.user()
    monkeypatch.setattr(side.client, "stream_async", unavailable)
    with pytest.raises(DatabaseUnavailableError):
        side.chats.say(ada, ROLE, "hi", "m1")
    assert side.answers.running == 0
    assert side.rows(ada)[1].status == "failed"
    assert side.chats.reply(ada, ROLE, "hi", "m1").status == "complete"


def test_a_database_that_is_locked_refuses_the_turn_and_leaves_no_half_of_it(new_side, mock_server):
    side, other = new_side(), new_side()
    ada = side.user()
    with side.impatient(), other.database.write(), pytest.raises(DatabaseUnavailableError):
        side.chats.say(ada, ROLE, "hi")
    assert side.rows(ada) == []
    assert mock_server.requests == []
    assert side.chats.reply(ada, ROLE, "hi").status == "complete"


def told(side, user_id, status):
    """An event that is set when the user's pages are told of that status."""
    heard = threading.Event()

    def listen():
        if any(f'"status":"{status}"'.encode() in news for news in subscription.take()):
            heard.set()

    subscription = side.notifications.subscribe(str(user_id), listen)
    return heard


def test_an_end_that_cannot_be_stored_now_is_stored_as_soon_as_it_can(new_side, mock_server):
    side, other = new_side(), new_side()
    ada = side.user()
    heard = told(side, ada, "cancelled")
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "hi")
    read_until(stream, "一二三")
    with side.impatient(), other.database.write():
        side.chats.stop(ada, stream.answer_id)
        assert kinds_of(read_all(stream))[-1] == "abort"
    assert heard.wait(SOON_S)
    assert side.statuses(ada)[1] == ("character", "cancelled", "一二三")
    assert side.chats.reply(ada, ROLE, "works again").status == "complete"


def test_an_answer_that_cannot_be_stored_is_no_success(side, mock_server, monkeypatch):
    ada = side.user()
    turns, end = side.chats._turns, side.chats._turns.end
    heard = told(side, ada, "complete")

    def away(opened, ending):
        monkeypatch.setattr(turns, "end", end)
        raise DatabaseUnavailableError

    monkeypatch.setattr(turns, "end", away)
    mock_server.script(Behaviour(text=SAID))
    events = read_all(side.chats.say(ada, ROLE, "hi"))
    assert text_of(events) == SAID
    assert events[-1]["code"] == "database_unavailable"
    assert "finish" not in kinds_of(events)
    assert heard.wait(SOON_S)
    assert side.statuses(ada)[1] == ("character", "complete", SAID)


def test_a_client_id_with_another_text_is_refused(side):
    ada = side.user()
    side.chats.reply(ada, ROLE, "one", "m1")
    with pytest.raises(IdempotencyClashError):
        side.chats.say(ada, ROLE, "two", "m1")


def test_only_an_answer_can_be_made_anew(side):
    ada = side.user(first_message="何方妖怪？")
    side.chats.reply(ada, ROLE, "one")
    greeting, asked, _ = side.rows(ada)
    for message in (greeting, asked):
        with pytest.raises(InvalidRequestError):
            side.chats.regenerate(ada, ROLE, message.id)


def test_turns_are_stored_alike_with_the_kill_switch(side, mock_server, monkeypatch):
    monkeypatch.setenv("LLM_ASYNC_ENABLED", "false")
    ada = side.user()
    mock_server.script(Behaviour(text=SAID), Behaviour(text=SAID))
    assert side.chats.reply(ada, ROLE, "one").text == SAID
    assert text_of(read_all(side.chats.say(ada, ROLE, "two"))) == SAID
    assert [row.status for row in side.rows(ada)] == ["complete"] * 4


def test_closing_stores_what_has_come(new_side, mock_server):
    side, later = new_side(), new_side()
    ada = side.user()
    mock_server.script(STALLED)
    read_until(side.chats.say(ada, ROLE, "hi"), "一二三")
    side.close()
    answer = later.rows(ada)[1]
    assert (answer.status, answer.content, answer.error_code) == ("partial", "一二三", "draining")


def test_no_transaction_is_open_while_the_model_answers(new_side, mock_server):
    side, other = new_side(), new_side()
    ada = side.user()
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "hi")
    mock_server.wait_until(lambda: mock_server.requests, SOON_S)
    other.user("grace")  # a write, which an open transaction would keep waiting
    assert side.rows(ada)[1].status == "streaming"
    side.chats.stop(ada, stream.answer_id)


def test_a_lost_lease_ends_the_answer_here_too(new_side, mock_server):
    """As when this process was stopped for a while, and another has reaped its rows."""
    side = new_side()
    ada = side.user()
    mock_server.script(STALLED)
    stream = side.chats.say(ada, ROLE, "hi")
    read_until(stream, "一二三")
    with side.database.write() as writing:
        generations.expire(writing, now() + timedelta(hours=1))
        messages.abandon(writing, [stream.answer_id], error_code="answer_lost")
    side.chats._leases.held[stream.answer_id].renewed_at -= 3600
    assert kinds_of(read_all(stream))[-1] == "abort"
    answer = side.rows(ada)[1]
    assert (answer.status, answer.error_code) == ("partial", "answer_lost")
