"""Where an object that comes in pieces ends, whatever the pieces are."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xwe.core.nlp.tools import scanner as module
from xwe.core.nlp.tools.scanner import ArgumentScanner

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
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


@given(cut_objects())
def test_any_cut_of_any_object_closes_once_and_at_its_own_brace(cut):
    written, pieces = cut
    scanner = ArgumentScanner()
    closings = [scanner.feed(piece) for piece in pieces]
    assert closings.count(True) == 1
    assert scanner.is_closed
    assert scanner.text == written
    fed = "".join(pieces[: closings.index(True) + 1])
    assert len(fed) >= len(written), "not before its last brace"
    assert len("".join(pieces[: closings.index(True)])) < len(written), "and not a piece later"


@given(cut_objects())
def test_an_object_that_lacks_its_brace_does_not_close(cut):
    written, _ = cut
    scanner = ArgumentScanner()
    assert not any(scanner.feed(character) for character in written[:-1])
    assert not scanner.is_closed


@pytest.mark.parametrize("text", ["[1]", '"text"', "null", "12", "}", "x{}"])
def test_nothing_but_an_object_is_taken_for_arguments(text):
    scanner = ArgumentScanner()
    assert not scanner.feed(text)
    assert scanner.is_broken


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_space_alone_is_empty(text):
    scanner = ArgumentScanner()
    scanner.feed(text)
    assert scanner.is_empty
    assert not scanner.is_broken


def test_braces_quotes_and_backslashes_within_strings_are_text():
    written = r'{"a": "}\"{\\", "b": "]["}'
    scanner = ArgumentScanner()
    assert scanner.feed(written + "rest")
    assert scanner.text == written


def test_arguments_without_end_are_given_up(monkeypatch):
    monkeypatch.setattr(module, "MAX_ARGUMENT_CHARACTERS", 100)
    scanner = ArgumentScanner()
    scanner.feed('{"a": "')
    for _ in range(20):
        scanner.feed("x" * 10)
    assert scanner.is_broken
    assert len(scanner.text) <= 100


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
        counting = [CountingPattern(module._OUTSIDE), CountingPattern(module._IN_STRING)]
        patch.setattr(module, "_OUTSIDE", counting[0])
        patch.setattr(module, "_IN_STRING", counting[1])
        scanner = ArgumentScanner()
        for piece in pieces:
            scanner.feed(piece)
    assert scanner.text == written
    assert sum(pattern.looks for pattern in counting) <= len(written)


@given(cut_objects())
def test_more_after_the_end_is_noticed_unless_it_is_space(cut):
    written, pieces = cut
    scanner = ArgumentScanner()
    for piece in pieces:
        scanner.feed(piece)
    assert scanner.overflow == bool("".join(pieces)[len(written) :].strip())
    assert scanner.length == len(written)


def test_what_is_too_long_is_so_whether_or_not_it_ends(monkeypatch):
    monkeypatch.setattr(module, "MAX_ARGUMENT_CHARACTERS", 10)
    scanner = ArgumentScanner()
    assert not scanner.feed('{"a": "0123456789"}')
    assert scanner.is_too_long
    exact = ArgumentScanner()
    assert exact.feed('{"a": 123}' + " " * 50), "what follows the end does not count"
