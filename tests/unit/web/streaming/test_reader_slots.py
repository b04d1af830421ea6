"""Slots for readers: so many for all, and a share of them for each user."""

import threading

import pytest

from xwe.errors import LimitExceededError, SaturatedError
from xwe.streams.answers import NOBODY
from xwe.web.streaming.reader_slots import ReaderSlots


def test_a_user_has_a_share_and_leaves_the_rest_to_others():
    slots = ReaderSlots(5, each=2)
    first, _ = slots.take("1"), slots.take("1")
    with pytest.raises(LimitExceededError) as refused:
        slots.take("1")
    assert refused.value.retry_after_s > 0
    slots.take("2")
    assert slots.stats().running == 3
    first.leave()
    slots.take("1")


def test_when_none_is_free_nothing_of_the_share_is_used_up():
    slots = ReaderSlots(1, each=1)
    taken = slots.take("1")
    with pytest.raises(SaturatedError):
        slots.take("2")
    taken.leave()
    slots.take("2").leave()
    assert slots.stats().running == 0


def test_those_who_are_not_signed_in_are_not_one_user():
    slots = ReaderSlots(5, each=1)
    taken = [slots.take(NOBODY) for _ in range(5)]
    with pytest.raises(SaturatedError):
        slots.take(NOBODY)
    for slot in taken:
        slot.leave()
    assert slots.stats().running == 0


def test_who_has_left_is_forgotten():
    slots = ReaderSlots(5)
    for owner in range(100):
        slots.take(str(owner)).leave()
    assert not slots._taken


def test_of_many_at_once_as_many_get_in_as_may():
    slots = ReaderSlots(1000, each=7)
    start = threading.Barrier(50)
    taken, refused = [], []

    def take():
        start.wait()
        try:
            taken.append(slots.take("1"))
        except LimitExceededError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (7, 43)
    assert slots.stats().running == 7
