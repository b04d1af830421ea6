"""What one user may use, on a clock that the test turns."""

import pytest

from xwe.errors import CharacterLimitError, LimitExceededError
from xwe.services.limits import MAX_REMEMBERED, Limits, SlidingWindow, UserLimits
from xwe.streams.answers import NOBODY


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_window_slides(clock):
    window = SlidingWindow(2, 60.0, clock=clock)
    assert window.take("ada") == 0
    clock.now = 30
    assert window.take("ada") == 0
    assert window.take("ada") == 30
    clock.now = 60
    assert window.take("ada") == 0
    assert window.take("ada") == 30


def test_what_was_refused_does_not_count(clock):
    window = SlidingWindow(1, 60.0, clock=clock)
    window.take("ada")
    clock.now = 59
    assert window.take("ada") == 1
    clock.now = 60
    assert window.take("ada") == 0


def test_keys_do_not_share_a_window(clock):
    window = SlidingWindow(1, clock=clock)
    assert window.take("ada") == window.take("bob") == 0


def test_a_window_forgets_who_has_not_come_for_longest(clock):
    window = SlidingWindow(1, clock=clock)
    for number in range(MAX_REMEMBERED + 1):
        window.add(str(number))
    assert window.wait_s("0") == 0
    assert window.wait_s("1") > 0


def test_a_user_who_asks_too_often_is_told_when_to_come_back(clock):
    limits = Limits(UserLimits(requests_per_minute=2), clock=clock)
    limits.take_request("1")
    limits.take_request("1")
    with pytest.raises(LimitExceededError) as refused:
        limits.take_request("1")
    assert refused.value.retry_after_s == 60
    limits.take_request("2")
    clock.now = 60
    limits.take_request("1")


def test_who_is_not_signed_in_has_no_limit_of_their_own(clock):
    limits = Limits(UserLimits(requests_per_minute=1), clock=clock)
    for _ in range(5):
        limits.take_request(NOBODY)


def test_there_need_be_no_limit():
    limits = Limits(UserLimits(requests_per_minute=None))
    for _ in range(500):
        limits.take_request("1")


def test_jobs_are_limited():
    limits = Limits(UserLimits(jobs=2))
    limits.refuse_more_jobs(1)
    with pytest.raises(LimitExceededError):
        limits.refuse_more_jobs(2)


def test_characters_are_limited():
    limits = Limits(UserLimits(characters=2))
    limits.refuse_more_characters(1)
    with pytest.raises(CharacterLimitError):
        limits.refuse_more_characters(2)


def test_registrations_are_limited_by_address(clock):
    limits = Limits(registrations_per_hour=2, clock=clock)
    limits.take_registration("192.0.2.1")
    clock.now = 600
    limits.take_registration("192.0.2.1")
    with pytest.raises(LimitExceededError) as refused:
        limits.take_registration("192.0.2.1")
    assert refused.value.retry_after_s == 3000
    assert "50 min" in refused.value.message
    limits.take_registration("192.0.2.2")
    clock.now = 3600
    limits.take_registration("192.0.2.1")


def test_registrations_from_where_is_not_known_are_not_counted():
    limits = Limits(registrations_per_hour=1)
    for _ in range(5):
        limits.take_registration(None)


def test_registrations_need_not_be_limited():
    limits = Limits(registrations_per_hour=0)
    for _ in range(500):
        limits.take_registration("192.0.2.1")
