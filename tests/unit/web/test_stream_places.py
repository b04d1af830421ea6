"""Places for readers: so many for all, and a share of them for each user."""

import threading

import pytest

from xwe.errors import LimitExceededError, SaturatedError
from xwe.streams.live_streams import NOBODY
from xwe.web.stream_places import StreamPlaces


def test_a_user_has_a_share_and_leaves_the_rest_to_others():
    places = StreamPlaces(5, each=2)
    first, _ = places.take("1"), places.take("1")
    with pytest.raises(LimitExceededError) as refused:
        places.take("1")
    assert refused.value.retry_after_s > 0
    places.take("2")
    assert places.stats().running == 3
    first.leave()
    places.take("1")


def test_when_none_is_free_nothing_of_the_share_is_used_up():
    places = StreamPlaces(1, each=1)
    taken = places.take("1")
    with pytest.raises(SaturatedError):
        places.take("2")
    taken.leave()
    places.take("2").leave()
    assert places.stats().running == 0


def test_those_who_are_not_signed_in_are_not_one_user():
    places = StreamPlaces(5, each=1)
    taken = [places.take(NOBODY) for _ in range(5)]
    with pytest.raises(SaturatedError):
        places.take(NOBODY)
    for place in taken:
        place.leave()
    assert places.stats().running == 0


def test_who_has_left_is_forgotten():
    places = StreamPlaces(5)
    for owner in range(100):
        places.take(str(owner)).leave()
    assert not places._taken


def test_of_many_at_once_as_many_get_in_as_may():
    places = StreamPlaces(1000, each=7)
    start = threading.Barrier(50)
    taken, refused = [], []

    def take():
        start.wait()
        try:
            taken.append(places.take("1"))
        except LimitExceededError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (7, 43)
    assert places.stats().running == 7
