"""An answer that another process makes is followed while somebody may want it, and no longer."""

import contextlib
import threading

import pytest
from chat_sides import ROLE, SOON_S, kinds_of, read_all, read_until, wait_until

from xwe.mock import Behaviour
from xwe.services.chats import replay
from xwe.services.chats.replay import Followers
from xwe.services.chats.values import ChatTimes

LOOK_S = 0.001


class CountedReading:
    """A chat's reading whose looks at an answer wait to be let through, one by one."""

    def __init__(self, reading):
        self._reading = reading
        self._let = threading.Semaphore(0)
        self._done = threading.Semaphore(0)  # a look is over once the next one has begun
        self._has_begun = False

    def answer(self, user_id, generation_id):
        if self._has_begun:
            self._done.release()
        self._has_begun = True
        assert self._let.acquire(timeout=SOON_S)
        return self.unseen(user_id, generation_id)

    def unseen(self, user_id, generation_id):
        """The answer, by a look that does not count."""
        return self._reading.answer(user_id, generation_id)

    def let(self, looks):
        """Let so many looks through, sometime."""
        self._let.release(looks)

    def let_and_wait(self, looks):
        """Let so many looks through, and wait until they are over."""
        self._let.release(looks)
        for _ in range(looks):
            assert self._done.acquire(timeout=SOON_S)


@pytest.fixture
def half(new_side, mock_server):
    """A side with the first half of an answer, its stream, and who said it."""
    side = new_side()
    ada = side.user()
    mock_server.script(Behaviour(text="一二三四五六", fault="stall", after_pieces=3))
    stream = side.chats.say(ada, ROLE, "hi")
    read_until(stream, "一二三")
    return side, stream, ada


@pytest.fixture
def reading(half):
    return CountedReading(half[0].chats._reading)


@pytest.fixture
def followers(reading):
    followers = Followers(reading, ChatTimes(follow_s=LOOK_S))
    yield followers
    reading.let(1000)
    followers.close()


def test_a_reader_who_was_away_for_a_moment_finds_the_answer_followed(half, reading, followers):
    side, stream, ada = half
    answer = reading.unseen(ada, stream.answer_id)
    followed = followers.follow(ada, answer)
    reader = followed.join()
    reading.let_and_wait(1)
    reader.close()
    reading.let_and_wait(3)
    assert not followed.is_ended
    with contextlib.closing(followed.join()):
        reading.let_and_wait(3)
        assert followers.follow(ada, answer) is followed
        side.chats.stop(ada, stream.answer_id)
        reading.let(100)
        assert kinds_of(read_all(followed))[-1] == "abort"


def test_an_answer_that_nobody_reads_is_followed_no_more(half, reading, followers, monkeypatch):
    monkeypatch.setattr(replay, "UNREAD_S", 0.01)
    side, stream, ada = half
    followed = followers.follow(ada, reading.unseen(ada, stream.answer_id))
    wait_until(lambda: followed.is_ended)  # not by reading: a reader is what would keep it
    assert kinds_of(read_all(followed))[-1] == "data-shutdown"
    side.chats.stop(ada, stream.answer_id)
