"""Where an object that arrives in pieces ends, whatever the pieces, and what it says."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp import tool_arguments as module
from xwe.core.nlp.tool_arguments import ArgumentScanner, parse_arguments

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


@st.composite
def cut_objects(draw):
    """A JSON object as a model may write it, cut anywhere, with what may follow it."""
    text = json.dumps(
        draw(OBJECTS), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2]))
    )
    written = draw(st.sampled_from(["", " ", "\n\t"])) + text
    tail = draw(st.sampled_from(["", " ", "\n", "}", "{}", "x"]))
    cuts = sorted(draw(st.sets(st.integers(0, len(written + tail)), max_size=8)))
    whole, bounds = written + tail, [0, *cuts, len(written + tail)]
    return written, [whole[a:b] for a, b in itertools.pairwise(bounds)]


def taken(scanner, pieces):
    """The part of each piece that belongs to the arguments."""
    return [piece[: scanner.feed(piece)] for piece in pieces]


@given(cut_objects())
def test_any_cut_of_any_object_closes_once_and_at_its_own_brace(cut):
    written, pieces = cut
    scanner, closed = ArgumentScanner(), []
    kept = []
    for piece in pieces:
        kept += taken(scanner, [piece])
        closed.append(scanner.is_closed)
    assert "".join(kept) == written
    assert scanner.is_closed
    assert not scanner.is_broken
    before = "".join(pieces[: closed.index(True)])
    assert len(before) < len(written) <= len(before + pieces[closed.index(True)])


@given(cut_objects())
def test_an_object_that_lacks_its_brace_does_not_close(cut):
    written, _ = cut
    scanner = ArgumentScanner()
    assert "".join(taken(scanner, written[:-1])) == written[:-1]
    assert not scanner.is_closed


@pytest.mark.parametrize("text", ["[1]", '"text"', "null", "12", "}", "x{}"])
def test_nothing_but_an_object_is_taken_for_arguments(text):
    scanner = ArgumentScanner()
    scanner.feed(text)
    assert scanner.is_broken
    assert not scanner.is_closed


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_space_alone_is_neither_an_object_nor_broken(text):
    scanner = ArgumentScanner()
    scanner.feed(text)
    assert not scanner.is_closed
    assert not scanner.is_broken


def test_braces_quotes_and_backslashes_within_strings_are_text():
    written = r'{"a": "}\"{\\", "b": "]["}'
    scanner = ArgumentScanner()
    assert scanner.feed(written + "rest") == len(written)
    assert scanner.is_closed


def test_arguments_without_end_are_given_up(monkeypatch):
    monkeypatch.setattr(module, "MAX_ARGUMENT_CHARACTERS", 100)
    scanner = ArgumentScanner()
    scanner.feed('{"a": "')
    for _ in range(9):
        scanner.feed("x" * 10)
    assert not scanner.is_broken
    scanner.feed("x" * 10)
    assert scanner.is_broken
    assert scanner.is_too_long


def test_what_is_too_long_is_so_whether_or_not_it_ends(monkeypatch):
    monkeypatch.setattr(module, "MAX_ARGUMENT_CHARACTERS", 10)
    scanner = ArgumentScanner()
    scanner.feed('{"a": "0123456789"}')
    assert scanner.is_too_long
    assert not scanner.is_closed
    exact = ArgumentScanner()
    exact.feed('{"a": 123}' + " " * 50)
    assert exact.is_closed, "what follows the end does not count"


class CountingPattern:
    """A pattern that counts the characters it was led over."""

    def __init__(self, pattern):
        self.pattern = pattern
        self.looks = 0

    def search(self, text, at):
        found = self.pattern.search(text, at)
        self.looks += (found.end() if found else len(text)) - min(at, len(text))
        return found


@given(cut_objects())
def test_no_character_is_looked_at_twice(cut):
    written, pieces = cut
    with pytest.MonkeyPatch.context() as patch:
        counting = [CountingPattern(module._OUTSIDE_STRING), CountingPattern(module._INSIDE_STRING)]
        patch.setattr(module, "_OUTSIDE_STRING", counting[0])
        patch.setattr(module, "_INSIDE_STRING", counting[1])
        assert "".join(taken(ArgumentScanner(), pieces)) == written
    assert sum(pattern.looks for pattern in counting) <= len(written)


# --- the value ---


@given(cut_objects())
def test_an_object_is_its_value(cut):
    written, _ = cut
    assert parse_arguments(written) == (json.loads(written), "")


@pytest.mark.parametrize("text", ["", " ", "{}"])
def test_no_arguments_are_an_empty_object(text):
    assert parse_arguments(text) == ({}, "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a"', "not JSON"),
        ('{"a": NaN}', "not JSON"),
        (r'{"a": "\ud83d"}', "not JSON"),
        ("[1]", "one JSON object"),
        ("null", "one JSON object"),
        ('{"a":' * 2000 + "1" + "}" * 2000, "not JSON"),
        ('{"a": %s}' % ("1" * 5000), "not JSON"),
    ],
)
def test_what_is_no_object_is_told_in_a_sentence(text, fault):
    value, told = parse_arguments(text)
    assert value is None
    assert fault in told


@pytest.mark.parametrize("number", [2**63, 2**64, 10**20 + 1, -(2**70)])
def test_a_number_of_any_length_is_exact(number):
    assert parse_arguments(json.dumps({"wei": number})) == ({"wei": number}, "")
