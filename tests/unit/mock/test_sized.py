"""Texts and arguments of a given number of tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.errors import InvalidRequestError
from xwe.mock import sized_arguments, sized_text
from xwe.mock.tokens import split_tokens


@given(st.integers(0, 500))
def test_a_sized_text_has_exactly_so_many_tokens(count):
    assert len(split_tokens(sized_text(count))) == count


@given(st.integers(11, 300), st.sampled_from(["query", "q", "城市"]))
def test_sized_arguments_are_an_object_of_exactly_so_many_tokens(count, key):
    arguments = sized_arguments(count, key)
    assert len(split_tokens(arguments)) == count
    assert list(json.loads(arguments)) == [key]


def test_arguments_that_cannot_be_so_short_are_refused():
    with pytest.raises(InvalidRequestError, match="or more") as caught:
        sized_arguments(3)
    assert caught.value.field == "tokens"
