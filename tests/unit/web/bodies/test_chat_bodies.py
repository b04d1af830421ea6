"""What the routes of chats accept."""

import pytest

from xwe.errors import InvalidRequestError
from xwe.web.bodies.chats import MAX_PAGE, page_query

LARGEST = 2**31 - 1


@pytest.mark.parametrize("name", ["before_seq", "after_seq"])
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", None),
        ("0", 0),
        ("0012", 12),
        (str(LARGEST), LARGEST),
        (str(LARGEST + 1), LARGEST),
        ("9" * 5000, LARGEST),
    ],
)
def test_a_place_beyond_all_places_is_the_last_one(name, text, number):
    assert getattr(page_query({name: text}), name) == number


@pytest.mark.parametrize(("text", "limit"), [("7", 7), ("201", MAX_PAGE), ("9" * 20, MAX_PAGE)])
def test_a_page_is_bounded(text, limit):
    assert page_query({"limit": text}).limit == limit


@pytest.mark.parametrize("text", ["-1", "1.0", "x", " 1", "１"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(InvalidRequestError, match="after_seq"):
        page_query({"after_seq": text})
